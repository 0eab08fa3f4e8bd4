"""Tiny programs in place of the services, where the point is the supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ecom_lakehouse.stack.processes import marked

WAIT_SECONDS = 60.0
PROGRAM = Path(__file__).parent / "tiny_stack.py"


def wait_until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Waits for a condition, and says which one it was if it never came."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


class TinyStack:
    """A supervisor over tiny services, as a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home.parent / "output.txt"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(
        self, *arguments: str, ignore_sigint: bool = False, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Starts one; `tiny_stack.py` says what it may be told."""

        def as_a_background_job() -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), str(self.home), *arguments],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=as_a_background_job if ignore_sigint else None,
            )
        self._processes.append(process)
        return process

    def said(self) -> str:
        """All that it printed."""
        return self.output.read_text()

    def up(self) -> subprocess.Popen[bytes]:
        """Starts one and waits until everything is up."""
        process = self.start()
        wait_until(lambda: "all up" in self.said() or process.poll() is not None, "the tiny stack is up")
        assert process.poll() is None, self.said()
        return process

    def events(self) -> list[str]:
        """What the tiny services did, in order, as `name started` and `name ended`."""
        path = self.home / "events.txt"
        return path.read_text().splitlines() if path.exists() else []

    def nothing_left(self) -> None:
        """Asserts, within a moment, that no process of the stack is left."""
        wait_until(lambda: not marked(self.home), f"no process of {self.home} is left")

    def clear(self) -> None:
        """Ends whatever a failed test left."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for left in marked(self.home):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[TinyStack]:
    """A tiny stack on a home of its own; nothing of it outlives the test."""
    stack = TinyStack(tmp_path / "home")
    yield stack
    stack.clear()
