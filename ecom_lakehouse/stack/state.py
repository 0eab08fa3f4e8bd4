"""The state of a running stack, in its home: who runs it, and which processes it has."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.processes import Running, find

ENDING_SECONDS = 35.0
POLL_SECONDS = 0.2

Phase = Literal["waiting", "starting", "ready", "ended"]


@dataclass(frozen=True)
class ServiceState:
    """One service, as `ps` shows it."""

    name: str
    phase: Phase
    port: int | None
    log: str
    restarts: int
    running: Running | None


@dataclass(frozen=True)
class StackState:
    """The whole stack: its supervisor and its services in the order of their start."""

    supervisor_pid: int
    supervisor_created: float
    services: tuple[ServiceState, ...]

    def supervisor(self) -> psutil.Process | None:
        """The supervisor's process, unless it has ended."""
        return find(self.supervisor_pid, self.supervisor_created)


def logs_folder(home: Path) -> Path:
    """Where each service has its log file."""
    return home / "logs"


def write_state(home: Path, services: Sequence[ServiceState]) -> None:
    """Records the stack of this process; a reader sees the old state or the new, never half of one."""
    state = StackState(os.getpid(), psutil.Process().create_time(), tuple(services))
    path = _state_path(home)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(state), indent=1))
    fresh.replace(path)


def read_state(home: Path) -> StackState | None:
    """The recorded stack, running or not; None where none was ever started."""
    try:
        recorded: dict[str, Any] = json.loads(_state_path(home).read_text())
    except FileNotFoundError:
        return None
    services = tuple(
        ServiceState(**{**one, "running": Running(**one["running"]) if one["running"] else None})
        for one in recorded.pop("services")
    )
    return StackState(**recorded, services=services)


def running_services(state: StackState | None) -> list[Running]:
    """The recorded services that were started; their processes may have ended since."""
    return [one.running for one in state.services if one.running] if state else []


class HomeLock:
    """The right to run a stack on a home, until the process ends; a watcher that inherits it shares it."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._file = (home / "stack.lock").open("a")

    def fileno(self) -> int:
        """For handing the lock on to another process."""
        return self._file.fileno()

    def take(self) -> None:
        """Takes it; waits for a stack whose supervisor is gone and whose processes are just being ended.

        Raises:
            StackError: a stack runs on this home.
        """
        deadline = time.monotonic() + ENDING_SECONDS
        while not self.try_take():
            state = read_state(self._home)
            supervisor = state.supervisor() if state else None
            if supervisor or time.monotonic() > deadline:
                who = f" (pid {supervisor.pid})" if supervisor else ""
                raise StackError(
                    f"a stack{who} is already running on {self._home}: look at it with `make ps`, end it with "
                    "`make stop`, or give this one another home (LAKEHOUSE_HOME) and other ports."
                )
            time.sleep(POLL_SECONDS)

    def try_take(self) -> bool:
        """Takes it if it is free; says whether."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Lets the next one have it."""
        self._file.close()


def _state_path(home: Path) -> Path:
    return home / "stack.json"
