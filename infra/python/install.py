"""Installs the locked packages and this project into the environment whose Python runs this.

uv does it in a third of pip's time. It does not read pip's configuration, so what that says of indexes,
links, proxies and certificates is handed to it by the names it knows; where uv fails all the same, pip
installs the very same lock.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX",),
    "extra-index-url": ("UV_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "no-index": ("UV_NO_INDEX",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("HTTP_PROXY", "HTTPS_PROXY"),
}
SEPARATORS = {"UV_FIND_LINKS": ","}


def uv_environment() -> dict[str, str]:
    """pip's configuration, from its files and from `PIP_*`, by uv's names; what is set for uv itself wins."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout
    found = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        for variable in UV_NAMES.get(name.rpartition(".")[2], ()):
            words = str(ast.literal_eval(value)).split()
            found[variable] = SEPARATORS.get(variable, " ").join(words)
    return {"UV_SYSTEM_CERTS": "true", **found, **os.environ}


def main() -> int:
    """Installs; gives the exit code of the last program that was needed."""
    lock = ["--no-deps", "--require-hashes", "-r", str(PROJECT / "requirements.lock")]
    project = ["--no-deps", "--editable", str(PROJECT)]
    pip_install = [*PIP, "install", "--quiet", "--no-compile"]
    bootstrap = [*pip_install, "--no-deps", "--require-hashes", "-r", str(HERE / "uv.lock")]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    uv_install = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--no-cache",
        # Compiled once here: every run of Dagster's is a fresh process, and would read the sources anew
        # wherever PYTHONDONTWRITEBYTECODE is set, at 5 s a run.
        "--compile-bytecode",
        *quiet,
        "--python",
        sys.executable,
    ]
    by_uv = subprocess.run(bootstrap, check=False).returncode == 0 and (
        subprocess.run([*uv_install, *lock], env=uv_environment(), check=False).returncode == 0
    )
    if not by_uv:
        sys.stderr.write("uv could not install the packages; pip takes its time with the same lock …\n")
        if code := subprocess.run([*PIP, "install", "--quiet", *lock], check=False).returncode:
            return code
    return subprocess.run([*pip_install, *project], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
