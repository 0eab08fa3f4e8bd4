"""What the stack knows of a program that it runs: how to prepare, start, probe and end it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Service:
    """One child process of the stack.

    It starts when all that it `needs` is ready; services of a lower `stop_stage` are ended first, those of
    one stage together. `prepare` runs before each start and may be repeated; `is_ready` is a quick probe
    that never raises; `after_ready` does what others wait for; `before_stop` runs before its end is asked
    for by `stop_signal`, and gets the service's process id and the seconds that it may take.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    port: int | None = None
    port_setting: str = ""
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = _nothing
    after_ready: Callable[[], None] = _nothing
    before_stop: Callable[[int, float], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_stage: int = 0
    stop_seconds: float = 6.0
    start_seconds: float = 180.0
