"""Runs a set of services: in order of need, watched, restarted, and ended in order.

One thread, one loop. Everything that a start leaves on the machine is in the home: logs, process ids
(`stack.json`) and the lock that keeps a second stack off the same data.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import LOCALHOST
from ecom_lakehouse.stack.child import Child
from ecom_lakehouse.stack.ports import holder, is_free
from ecom_lakehouse.stack.processes import MEGABYTE, Running, end_in_order, end_stack, marked
from ecom_lakehouse.stack.report import Report
from ecom_lakehouse.stack.service import Service
from ecom_lakehouse.stack.state import (
    HomeLock,
    Phase,
    ServiceState,
    logs_folder,
    read_state,
    running_services,
    write_state,
)
from ecom_lakehouse.stack.terminal import Terminal
from ecom_lakehouse.stack.watcher import watched

POLL_SECONDS = 0.1
STOP_SECONDS = 24.0
HURRIED_STOP_SECONDS = 3.0
DISK_LOOK_SECONDS = 15.0
MAX_BACK_OFF_SECONDS = 60.0
KILL_AFTER_SECONDS = 0.5
STEADY_SECONDS = 60.0
"""A service that was ready for this long begins anew with its back-off."""


@dataclass
class _Supervised:
    child: Child
    phase: Phase = "waiting"
    start_at: float = 0.0
    since: float = 0.0
    restarts: int = 0
    ever_ready: bool = False

    @property
    def service(self) -> Service:
        return self.child.service


class _HurriedError(Exception):
    """A second signal came while the stack was ending."""


class Supervisor:
    """The services of one home, for as long as `run` takes."""

    def __init__(
        self,
        home: Path,
        services: Sequence[Service],
        report: Report,
        *,
        min_free_disk_mb: int = 0,
        when_up: Callable[[float], None] = lambda _seconds: None,
        before_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._home = home
        self._report = report
        self._min_free_disk_mb = min_free_disk_mb
        self._when_up = when_up
        self._before_stop = before_stop
        self._all = [_Supervised(Child(one, logs_folder(home) / f"{one.name}.log", home)) for one in services]
        self._stop_reason = ""
        self._ending = False
        self._hurried = False

    def run(self) -> None:
        """Starts everything and stays until it is told to end; on leaving, no process of it is left.

        Raises:
            StackError: a port is in use, the disk is full, the home is in use, or a service that needs no
                other could not be started; nothing is left running.
        """
        self._require_disk()
        lock = HomeLock(self._home)
        lock.take()
        try:
            with self._signals(), watched(self._home, lock):
                self._end_leftovers()
                self._require_ports()
                try:
                    self._loop()
                finally:
                    self._end()
        finally:
            lock.release()

    # while running

    def _loop(self) -> None:
        begun = time.monotonic()
        next_disk_look = begun + DISK_LOOK_SECONDS
        terminal = Terminal()
        up = False
        while not self._stop_reason:
            for one in self._all:
                self._step(one)
            if not up and all(one.phase == "ready" for one in self._all):
                up = True
                self._when_up(time.monotonic() - begun)
            if terminal.is_gone():
                self._stop_reason = self._stop_reason or "the terminal is gone"
            if time.monotonic() > next_disk_look:
                next_disk_look = time.monotonic() + DISK_LOOK_SECONDS
                self._warn_of_full_disk()
            time.sleep(POLL_SECONDS)

    def _step(self, one: _Supervised) -> None:
        now = time.monotonic()
        if one.phase == "waiting":
            if now >= one.start_at and self._are_ready(one.service.needs):
                one.child.start()
                self._enter(one, "starting")
        elif one.child.exit_code is not None:
            self._died(one)
        elif one.phase == "starting":
            if one.service.is_ready():
                one.service.after_ready()
                one.ever_ready = True
                where = f"{LOCALHOST}:{one.service.port}" if one.service.port else ""
                self._report.ready(one.service.name, where, time.monotonic() - one.since)
                self._enter(one, "ready")
            elif now > one.since + one.service.start_seconds:
                self._kill(one)
                self._died(one)

    def _are_ready(self, names: Sequence[str]) -> bool:
        return all(one.phase == "ready" for one in self._all if one.service.name in names)

    def _died(self, one: _Supervised) -> None:
        """Says it at once. What is needed first and never stood ends the start; all else is tried again."""
        name, lines = one.service.name, one.child.last_lines()
        if not one.service.needs and not one.ever_ready:
            raise StackError(f"{name} could not be started; its last lines ({one.child.log}):\n{lines}")
        self._kill(one)
        if one.phase == "ready" and time.monotonic() - one.since > STEADY_SECONDS:
            one.restarts = 0
        delay = min(MAX_BACK_OFF_SECONDS, 2.0**one.restarts)
        one.restarts += 1
        one.start_at = time.monotonic() + delay
        self._report.ended(name, one.child.exit_code, lines, one.child.log, f"started again in {delay:.0f} s")
        self._enter(one, "waiting")

    def _kill(self, one: _Supervised) -> None:
        if one.child.running:
            end_in_order([one.child.running], KILL_AFTER_SECONDS)
            one.child.reap()

    def _enter(self, one: _Supervised, phase: Phase) -> None:
        one.phase = phase
        one.since = time.monotonic()
        self._write_state()

    def _write_state(self) -> None:
        write_state(
            self._home,
            [
                ServiceState(
                    name=one.service.name,
                    phase=one.phase,
                    port=one.service.port,
                    log=str(one.child.log),
                    restarts=one.restarts,
                    running=one.child.running,
                )
                for one in self._all
            ],
        )

    # before the start

    def _require_disk(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        free = self._free_disk_mb()
        if free < self._min_free_disk_mb:
            raise StackError(
                f"{self._home} has {free} MB of disk left, and {self._min_free_disk_mb} MB are wanted: make room, "
                "set LAKEHOUSE_HOME to another disk, or lower LAKEHOUSE_MIN_FREE_DISK_MB."
            )

    def _warn_of_full_disk(self) -> None:
        free = self._free_disk_mb()
        if free < self._min_free_disk_mb:
            self._report.say(
                f"  ! only {free} MB of disk are left for {self._home} (wanted: {self._min_free_disk_mb} MB); "
                "make room before Kafka and Postgres have to stop",
                "bold red",
            )

    def _free_disk_mb(self) -> int:
        return shutil.disk_usage(self._home).free // MEGABYTE

    def _require_ports(self) -> None:
        taken = [
            f"port {one.service.port} ({one.service.name}) is held by {holder(one.service.port)}"
            f"{f': end that, or set {one.service.port_setting}' if one.service.port_setting else ''}"
            for one in self._all
            if one.service.port and not is_free(one.service.port)
        ]
        if taken:
            raise StackError("; ".join(taken) + ".")

    def _end_leftovers(self) -> None:
        left = [one for one in running_services(read_state(self._home)) if one.process()]
        if left or marked(self._home):
            self._report.say("  ending what an earlier stack left behind …", "yellow")
            end_stack(left, self._home, STOP_SECONDS)

    # the end

    def _end(self) -> None:
        started = [one for one in self._all if one.child.running and one.child.exit_code is None]
        if not started:
            return
        self._report.say(f"Ending{f' ({self._stop_reason})' if self._stop_reason else ''} …", "bold")
        begun = time.monotonic()
        running = [one.child.running for one in started if one.child.running]
        self._ending = True
        try:
            self._before_stop()
            killed = end_stack(
                running, self._home, STOP_SECONDS - (time.monotonic() - begun), self._prepare_stop
            )
        except _HurriedError:
            killed = end_stack(running, self._home, HURRIED_STOP_SECONDS)
        for one in started:
            one.child.reap()
            one.phase = "ended"
        self._write_state()
        self._report.say(
            f"Ended after {time.monotonic() - begun:.1f} s"
            f"{'; had to be killed: ' + ', '.join(killed) if killed else ''}.",
            "bold",
        )

    def _prepare_stop(self, running: Running, seconds: float) -> None:
        for one in self._all:
            if one.service.name == running.name and one.service.before_stop:
                one.service.before_stop(running.pid, seconds)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end the stack in order; a second one hurries. `nohup` is respected."""
        wanted = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            wanted.append(signal.SIGHUP)
        kept = {one: signal.signal(one, self._on_signal) for one in wanted}
        try:
            yield
        finally:
            for one, handler in kept.items():
                signal.signal(one, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._ending and not self._hurried:
            self._hurried = True
            raise _HurriedError
        self._stop_reason = self._stop_reason or signal.Signals(number).name
