"""The services' logs, read together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.state import logs_folder

POLL_SECONDS = 0.3


def log_files(home: Path, names: Sequence[str]) -> dict[str, Path]:
    """Each service's log file by the service's name; all that there are if none is named.

    Raises:
        StackError: there is no log of that name.
    """
    found = {path.stem: path for path in sorted(logs_folder(home).glob("*.log"))}
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        have = ", ".join(found) or "none; `make run` starts the stack"
        raise StackError(
            f"no log of {', '.join(unknown) or 'any service'} in {logs_folder(home)}; there is: {have}."
        )
    return {name: path for name, path in found.items() if not names or name in names}


def log_lines(files: Mapping[str, Path], past: int, *, follow: bool) -> Iterator[tuple[str, str]]:
    """The last lines of each file, then, if asked, every line as it comes; a file made anew is read anew."""
    positions = dict.fromkeys(files, 0)
    for name, path in files.items():
        with path.open("rb") as file:
            last = deque(file, maxlen=past)
            positions[name] = file.tell()
        for line in last:
            yield name, _text(line)
    while follow:
        quiet = True
        for name, path in files.items():
            size = path.stat().st_size
            if size < positions[name]:
                positions[name] = 0
            if size == positions[name]:
                continue
            with path.open("rb") as file:
                file.seek(positions[name])
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # half a line: the rest comes with the next look
                    positions[name] += len(line)
                    quiet = False
                    yield name, _text(line)
        if quiet:
            time.sleep(POLL_SECONDS)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
