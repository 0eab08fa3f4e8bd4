"""Processes of a stack: found again from anywhere, and ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARKER = "ECOM_LAKEHOUSE_STACK"
"""Environment variable that every process of a stack inherits, however deep; its value is the home."""
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Running:
    """A started service, as another process can find it: an id alone may belong to somebody else by now."""

    name: str
    pid: int
    created: float
    stop_signal: int
    stop_stage: int
    stop_seconds: float

    def process(self) -> psutil.Process | None:
        """Its process, unless that has ended."""
        return find(self.pid, self.created)


def find(pid: int, created: float) -> psutil.Process | None:
    """The process of that id that was started at that time, unless it has ended."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.create_time() == created and _lives(process):
            return process
    return None


def end_stack(
    services: Sequence[Running],
    home: Path,
    seconds: float,
    before_stop: Callable[[Running, float], None] | None = None,
) -> list[str]:
    """Ends the services as `end_in_order` does, then whatever else of the home's stack is left."""
    killed = end_in_order(services, seconds, before_stop)
    kill_all(marked(home))
    return killed


def end_in_order(
    services: Sequence[Running],
    seconds: float,
    before_stop: Callable[[Running, float], None] | None = None,
) -> list[str]:
    """Ends the services stage by stage within the time.

    A service gets its own seconds after its signal, as far as there are any left, and is then killed with
    all that it started.

    Returns:
        The names of those that had to be killed.
    """
    deadline = time.monotonic() + seconds
    killed: list[str] = []
    for stage in sorted({service.stop_stage for service in services}):
        at_once = [service for service in services if service.stop_stage == stage]
        alive = {process: service for service in at_once if (process := service.process())}
        family = [child for process in alive for child in descendants(process)]
        for process, service in alive.items():
            if before_stop:
                before_stop(service, deadline - time.monotonic())
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.Signals(service.stop_signal))
        allowed = max((service.stop_seconds for service in at_once), default=0.0)
        left = wait_gone(alive, max(0.1, min(allowed, deadline - time.monotonic())))
        killed += [alive[process].name for process in left]
        kill_all([*left, *family])
    return killed


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """All that the process started, at any depth, as long as the line to it isn't broken."""
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def marked(home: Path) -> list[psutil.Process]:
    """Every other process of this home's stack, however deep, also those whose parents are gone."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(home):
                found.append(process)
    return found


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kills what is left of them and waits until they are gone; an id that another has by now is spared."""
    left = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            left.append(process)
    wait_gone(left, KILL_SECONDS)


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Waits until they have ended, and gives those that have not.

    One that nobody has reaped yet has ended: an orphan stays a zombie for as long as init takes its time.
    """
    deadline = time.monotonic() + seconds
    left = [process for process in processes if _lives(process)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [process for process in left if _lives(process)]
    return left


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def memory_megabytes(process: psutil.Process) -> float:
    """What the process and all that it started hold, shared pages divided among those who share them."""
    total = 0
    for member in [process, *descendants(process)]:
        with contextlib.suppress(psutil.Error):
            full = member.memory_full_info()
            total += getattr(full, "pss", full.rss)
    return total / MEGABYTE
