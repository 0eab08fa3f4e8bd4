"""A service as a child process, in a session of its own, with its own log file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import PROJECT_ROOT
from ecom_lakehouse.stack.processes import MARKER, Running, end_in_order
from ecom_lakehouse.stack.service import Service

POLL_SECONDS = 0.05
REAP_SECONDS = 5
LOG_BYTES = 50 * 1024 * 1024
"""A log that has grown beyond this is put aside at the next start, in place of the one put aside before."""
LAST_LINES = 12
LAST_BYTES = 16_384


class Child:
    """A service that is running, or was."""

    def __init__(self, service: Service, log: Path, home: Path) -> None:
        self.service = service
        self.log = log
        self.running: Running | None = None
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended; None before."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Prepares and starts it; what it prints goes to its log file.

        Signals that the supervisor handles reach the child with their default action, also where the
        supervisor's own parent had them ignored: an exec resets handlers, but not what is ignored.
        """
        self.service.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.service.environment, MARKER: str(self._home)},
                cwd=PROJECT_ROOT,
                start_new_session=True,
            )
        self.running = Running(
            name=self.service.name,
            pid=self._process.pid,
            created=psutil.Process(self._process.pid).create_time(),
            stop_signal=self.service.stop_signal,
            stop_stage=self.service.stop_stage,
            stop_seconds=self.service.stop_seconds,
        )

    def wait_ready(self) -> None:
        """Waits until the service answers.

        Raises:
            StackError: it ended, or did not answer within its time; with its last lines.
        """
        deadline = time.monotonic() + self.service.start_seconds
        while not self.service.is_ready():
            if self.exit_code is not None:
                raise StackError(f"{self.service.name} ended while it started.\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.service.name} did not answer within {self.service.start_seconds:.0f} s.\n"
                    f"{self.last_lines()}"
                )
            time.sleep(POLL_SECONDS)
        self.service.after_ready()

    def reap(self) -> None:
        """Takes note of its end, once it has been ended."""
        if self._process:
            self._process.wait(REAP_SECONDS)

    def last_lines(self) -> str:
        """The end of its log, for the person who must see why it ended."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])


@contextlib.contextmanager
def started(service: Service, log: Path, home: Path) -> Iterator[Child]:
    """The service, ready; ended on leaving, whatever happened."""
    child = Child(service, log, home)
    try:
        child.start()
        child.wait_ready()
        yield child
    finally:
        if child.running:
            end_in_order([child.running], service.stop_seconds)
            child.reap()
