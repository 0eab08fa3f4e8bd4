"""What a detector says of one value, and what every detector can do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

State = dict[str, Any]
"""A detector's memory as JSON: numbers, strings, lists and dicts only."""


class Severity(StrEnum):
    """How bad a value is; `none` is an ordinary one."""

    NONE = "none"
    WARN = "warn"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0, 1 or 2: what is worse is greater."""
        return list(Severity).index(self)


class Kind(StrEnum):
    """What kind of number a metric is, which says how it scatters.

    A count scatters as its root; an amount is a sum over countable things and does so too; a ratio scatters the
    less the larger its denominator (`support`) is; of a gauge nothing is known.
    """

    COUNT = "count"
    AMOUNT = "amount"
    RATIO = "ratio"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Verdict:
    """One value judged by what came before it.

    `lower` and `upper` bound what would not have alarmed; `score` is in 0 to 1 and grows with surprise; `z` is
    signed, in the rule's own unit of scatter; `inputs` holds all that is needed to check the verdict by hand.
    Everything but `value` is None (score 0) where nothing could be said: no value, or no history yet.
    """

    value: float | None
    baseline: float | None
    lower: float | None
    upper: float | None
    score: float
    z: float | None
    severity: Severity
    reason: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


class Detector(Protocol):
    """Judges one series value by value, in order, without ever looking ahead."""

    rule: ClassVar[str]

    def observe(self, timestamp: datetime, value: float | None, support: float | None = None) -> Verdict:
        """The verdict on a value at a time; then the value becomes part of what is known.

        A missing value (None, NaN, infinite) moves nothing but the clock. `support` is a ratio's denominator.
        """
        ...

    def state(self) -> State:
        """All that the detector knows, as JSON."""
        ...


def unjudged(value: float | None, reason: str) -> Verdict:
    """A verdict that says nothing of a value but why."""
    return Verdict(value, None, None, None, 0.0, None, Severity.NONE, reason)


def is_number(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)
