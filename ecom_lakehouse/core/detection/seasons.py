"""The shape of a day, for working days and weekends, learned value by value."""

from __future__ import annotations

import math
from datetime import datetime

from ecom_lakehouse.core.detection.verdict import State

BINS = 48  # half hours
DAYS_NEEDED = 2  # visits on different days before a half hour is believed
DAYS_REMEMBERED = 4.0
ALL_DAYS, WORKING_DAY, WEEKEND = 0, 1, 2
SECONDS_A_DAY = 86400.0


class DayShape:
    """Mean value by half hour of the local day: of all days, and apart for working days and weekends.

    The local clock is that of the timestamps' own zone, so a shop's morning stays its morning through
    daylight-saving changes.
    """

    def __init__(self) -> None:
        self._means = [[0.0] * BINS for _ in range(3)]
        self._counts = [[0] * BINS for _ in range(3)]
        self._days = [[0] * BINS for _ in range(3)]
        self._last_day = [[-1] * BINS for _ in range(3)]

    def expect(self, local: datetime) -> tuple[float, float, float] | None:
        """The expected value, and the least and greatest within half a bin of now; None before it is known.

        The neighbourhood is what forgives an edge (a shop that opens, a nightly job) for a shape that can only
        be known to the half hour.
        """
        place = _clock(local)
        for row in (_day_type(local), ALL_DAYS):
            centre = self._between(row, place)
            if centre is not None:
                around = [self._between(row, place + shift) for shift in (-0.5, 0.5)]
                known = [centre, *(one for one in around if one is not None)]
                return centre, min(known), max(known)
        return None

    def learn(self, local: datetime, value: float, step_seconds: float) -> None:
        """Takes a value into the shape; the steps say how many of them make up the days to remember."""
        a_visit = max(SECONDS_A_DAY / BINS / max(step_seconds, 1.0), 1.0)
        slowest = 1.0 / (DAYS_REMEMBERED * a_visit)
        day, place = local.toordinal(), int(_clock(local)) % BINS
        for row in (ALL_DAYS, _day_type(local)):
            self._counts[row][place] += 1
            rate = max(slowest, 1.0 / self._counts[row][place])
            self._means[row][place] += (value - self._means[row][place]) * rate
            if self._last_day[row][place] != day:
                self._last_day[row][place] = day
                self._days[row][place] += 1

    def _between(self, row: int, place: float) -> float | None:
        """The shape at a place of the day, straight between the middles of two bins; None if either is new."""
        below = math.floor(place - 0.5)
        part = place - 0.5 - below
        first, second = below % BINS, (below + 1) % BINS
        days = self._days[row]
        if days[first] < DAYS_NEEDED or days[second] < DAYS_NEEDED:
            return None
        means = self._means[row]
        return means[first] * (1.0 - part) + means[second] * part

    def state(self) -> State:
        """The shape as JSON."""
        return {
            "means": self._means,
            "counts": self._counts,
            "days": self._days,
            "last_day": self._last_day,
        }

    @classmethod
    def from_state(cls, state: State) -> DayShape:
        """The shape that had this state."""
        shape = cls()
        shape._means = [list(row) for row in state["means"]]
        shape._counts = [list(row) for row in state["counts"]]
        shape._days = [list(row) for row in state["days"]]
        shape._last_day = [list(row) for row in state["last_day"]]
        return shape


def _clock(local: datetime) -> float:
    return (local.hour * 3600 + local.minute * 60 + local.second) / SECONDS_A_DAY * BINS


def _day_type(local: datetime) -> int:
    return WEEKEND if local.weekday() >= 5 else WORKING_DAY
