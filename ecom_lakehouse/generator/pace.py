"""When the next event is due: at a steady rate, or as a scenario's shop is visited."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from ecom_lakehouse.core.scenarios import Scenario

CATCH_UP_SECONDS = 1.0
ROUNDING = 1e-6  # so that an event is due at the very time that `next_at` gave
MINUTE = timedelta(minutes=1)


class Pace:
    """Spaces events evenly: told the time, it says how many are due.

    A delay is made up for as long as it is short. After a long one (the machine slept, Kafka was away) the
    missed events are let go, so that nothing comes in a burst.
    """

    def __init__(self, events_per_sec: float, started_at: float) -> None:
        self._rate = events_per_sec
        self._base = started_at
        self._taken = 0

    def due(self, now: float) -> int:
        """The events due by a time (seconds of any clock that only goes forward), less those taken."""
        due = int((now - self._base) * self._rate + ROUNDING) + 1 - self._taken
        if due > max(CATCH_UP_SECONDS * self._rate, 1):
            self._base, self._taken, due = now, 0, 1
        return max(due, 0)

    def take(self, events: int) -> None:
        """Counts events as made."""
        self._taken += events

    def next_at(self) -> float:
        """The time at which the next event is due."""
        return self._base + self._taken / self._rate


class Arrival(NamedTuple):
    """One event of a scenario: when it happens (seconds since 1970), and its type."""

    at: float
    event_type: str


def arrivals(scenario: Scenario, start: datetime, end: datetime | None, seed: int) -> Iterator[Arrival]:
    """The events of a scenario in order, from `start` until before `end` (for ever if None).

    A Poisson process whose rates are constant within a minute: gaps are exponential, and a gap that would
    cross into the next minute is drawn anew there, which changes nothing as such gaps have no memory.
    """
    dice = random.Random(f"{seed}: arrivals")
    minute = start.astimezone(UTC)
    while end is None or minute < end:
        after = minute.replace(second=0, microsecond=0) + MINUTE
        stop = min(after, end) if end else after
        rates = scenario.rates_at(minute)
        types, edges = list(rates), list(accumulate(rates.values()))
        total, at, stop_at = edges[-1], minute.timestamp(), stop.timestamp()
        while total > 0:
            at += dice.expovariate(total)
            if at >= stop_at:
                break
            yield Arrival(at, types[bisect(edges, dice.random() * total)])
        minute = after
