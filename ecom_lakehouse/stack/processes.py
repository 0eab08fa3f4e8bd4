"""Child processes: started in a session of their own, ended with all that they started themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import psutil

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.service import Service

MARKER = "ECOM_LAKEHOUSE_STACK"
"""Environment variable that every process of a stack inherits, however deep; its value is the home."""
POLL_SECONDS = 0.1
KILL_SECONDS = 5.0
LAST_LINES = 12


class Child:
    """A running service."""

    def __init__(self, service: Service, log: Path, home: Path) -> None:
        self.service = service
        self.log = log
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Prepares and starts it; its output goes to its log file.

        Signals that the supervisor handles reach the child with their default action, also where the
        supervisor's own parent had them ignored: an exec resets handlers, but not what is ignored.
        """
        self.service.prepare()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.service.environment, MARKER: str(self._home)},
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Waits until the service answers.

        Raises:
            StackError: it ended, or did not answer within its time; with its last lines.
        """
        deadline = time.monotonic() + self.service.start_seconds
        while not self.service.is_ready():
            if self.exit_code is not None:
                raise StackError(
                    f"{self.service.name} ended with code {self.exit_code} while starting.\n{self.last_lines()}"
                )
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.service.name} did not answer within {self.service.start_seconds:.0f} s; "
                    f"see {self.log}.\n{self.last_lines()}"
                )
            time.sleep(POLL_SECONDS)

    def last_lines(self) -> str:
        """The end of its log, for a person who must see why it ended."""
        return last_lines(self.log)

    def end(self, seconds: float | None = None) -> bool:
        """Ends it with everything it started; False if it had to be killed."""
        if self._process is None:
            return True
        family = descendants(self._process.pid)
        orderly = True
        if self._process.poll() is None:
            self._process.send_signal(self.service.stop_signal)
            try:
                self._process.wait(self.service.stop_seconds if seconds is None else seconds)
            except subprocess.TimeoutExpired:
                orderly = False
        kill_all(family)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        return orderly


@contextlib.contextmanager
def running(service: Service, log: Path, home: Path) -> Iterator[Child]:
    """The service, ready; ended on leaving, whatever happened."""
    child = Child(service, log, home)
    try:
        child.start()
        child.wait_ready()
        yield child
    finally:
        child.end()


def descendants(pid: int) -> list[psutil.Process]:
    """All that the process started, at any depth, as long as the line to it isn't broken."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def marked(home: Path) -> list[psutil.Process]:
    """Every process of this home's stack, however deep, also those whose parents are gone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(home):
                found.append(process)
    return found


def kill_all(processes: Iterable[psutil.Process], seconds: float = KILL_SECONDS) -> None:
    """Kills what is left of them, and waits until they are gone; ids that others got since are spared."""
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            left.append(process)
    psutil.wait_procs(left, timeout=seconds)


def last_lines(log: Path, count: int = LAST_LINES) -> str:
    """The last lines of a log file, indented."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16_384))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-count:])


def marker_environment(home: Path) -> Mapping[str, str]:
    """What marks a process as part of this home's stack."""
    return {MARKER: str(home)}


def terminate(process: psutil.Process, sent: signal.Signals = signal.SIGTERM) -> None:
    """Sends the signal, where the process still is."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(sent)
