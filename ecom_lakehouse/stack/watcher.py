"""Ends a stack whose supervisor was killed: no process stays behind, whatever happened to its parent.

Started by the supervisor as `python -m ecom_lakehouse.stack.watcher HOME FD`, in a session of its own. It
waits on a pipe that only the supervisor holds open. A byte on it means that the supervisor has done the work
itself; the end of the pipe without one means that it died.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ecom_lakehouse.stack.processes import end_stack, marked
from ecom_lakehouse.stack.state import HomeLock, logs_folder, read_state, running_services

END_SECONDS = 22.0
DONE = b"."


@contextlib.contextmanager
def watched(home: Path, lock: HomeLock | None = None) -> Iterator[None]:
    """While inside, the death of this process ends every process of the home's stack.

    The watcher shares the lock, so that a next start waits until the dead one's processes are gone.
    """
    reader, writer = os.pipe()
    watcher = subprocess.Popen(
        [sys.executable, "-m", __name__, str(home), str(reader)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(reader, lock.fileno()) if lock else (reader,),
        start_new_session=True,
    )
    os.close(reader)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, DONE)
        os.close(writer)
        watcher.wait()


def watch(home: Path, pipe: int) -> None:
    """Waits for the supervisor's end, and does its work if it died."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if os.read(pipe, 1) == DONE:
        return
    killed = end_stack(running_services(read_state(home)), home, END_SECONDS)
    left = [process.pid for process in marked(home)]
    log = logs_folder(home) / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(
            f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} the supervisor died; all that it ran was ended"
            f"{' (killed: ' + ', '.join(killed) + ')' if killed else ''}{f', left: {left}' if left else ''}\n"
        )


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
