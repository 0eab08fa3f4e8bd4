"""The stack as seen from another terminal: look at it, end it, clear away what it left."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.ports import is_listening
from ecom_lakehouse.stack.processes import Running, end_stack, marked, memory_megabytes
from ecom_lakehouse.stack.state import HomeLock, ServiceState, read_state, running_services

STOP_SECONDS = 35.0
POLL_SECONDS = 0.1
# What a stack, or Dagster's definitions alone, leave in every home.
STATE = (
    *("kafka", "postgres", "dagster", "lake", "logs"),
    *("stack.json", "stack.lock", "start_hour", "sql_history"),
)
"""All that a stack and its commands leave in a home, but for the downloads."""


@dataclass(frozen=True)
class ProcessRow:
    """One line of `ps`; `memory_megabytes` includes all that the service started."""

    name: str
    state: str
    port: int | None
    pid: int | None
    memory_megabytes: float
    uptime_seconds: float
    restarts: int


def process_rows(home: Path) -> list[ProcessRow]:
    """The recorded stack's processes as they are now, the supervisor first; empty if there never was one."""
    state = read_state(home)
    if state is None:
        return []
    supervisor = Running("supervisor", state.supervisor_pid, state.supervisor_created, 0, 0, 0)
    rows = [_row(ServiceState("supervisor", "ready", None, "", 0, supervisor), alone=True)]
    return rows + [_row(service) for service in state.services]


def _row(service: ServiceState, *, alone: bool = False) -> ProcessRow:
    process = service.running.process() if service.running else None
    if process is None:
        return ProcessRow(service.name, "ended", service.port, None, 0, 0, service.restarts)
    state = service.phase
    if state == "ready" and service.port and not is_listening(service.port):
        state = "starting"
    memory = process.memory_info().rss / 1024**2 if alone else memory_megabytes(process)
    uptime = time.time() - process.create_time()
    return ProcessRow(service.name, state, service.port, process.pid, memory, uptime, service.restarts)


def stop_stack(home: Path) -> str:
    """Ends the home's stack in order and waits for it; ends what is left of one whose supervisor is gone.

    Returns:
        What was done, in a sentence.

    Raises:
        StackError: it would not end.
    """
    state = read_state(home)
    supervisor = state.supervisor() if state else None
    lock = HomeLock(home)
    begun = time.monotonic()
    if supervisor:
        supervisor.terminate()
    try:
        while not lock.try_take():
            if time.monotonic() > begun + STOP_SECONDS:
                raise StackError(
                    f"the stack on {home} did not end within {STOP_SECONDS:.0f} s"
                    f"{f' (supervisor: pid {supervisor.pid})' if supervisor else ''}; see {home / 'logs'}."
                )
            time.sleep(POLL_SECONDS)
        left = [one for one in running_services(state) if one.process()]
        if left or marked(home):
            end_stack(left, home, STOP_SECONDS)
            return f"What an earlier stack left on {home} was ended."
    finally:
        lock.release()
    if supervisor:
        return f"The stack on {home} ended after {time.monotonic() - begun:.1f} s."
    return f"No stack runs on {home}."


def clean_home(settings: Settings) -> None:
    """Removes the home's state, and keeps what was downloaded and what is not a stack's.

    Raises:
        StackError: a stack runs on the home.
    """
    if not settings.home.exists():
        return
    lock = HomeLock(settings.home)
    try:
        if not lock.try_take():
            raise StackError(f"a stack runs on {settings.home}: end it first with `make stop`.")
        for path in (settings.home / name for name in STATE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    finally:
        lock.release()
