"""What the stack knows of a program that it runs: how to prepare, start, probe and end it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


def _nothing_to_prepare() -> None:
    pass


@dataclass(frozen=True)
class Service:
    """One child process of the stack.

    `prepare` runs before each start and may be repeated; `is_ready` is a quick probe that never raises;
    `stop_signal` asks for an orderly end, for which `stop_seconds` are allowed.
    """

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    port: int | None = None
    prepare: Callable[[], None] = _nothing_to_prepare
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 8.0
    start_seconds: float = 60.0
