"""The shape of day and week, learned value by value."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from ecom_lakehouse.core.detection.verdict import State

BINS = 48  # half hours
DAYS_NEEDED = 2  # days before today on which a half hour was seen, before it is believed
VALUES_ENOUGH = 20  # or one day with so many values in it
DAYS_REMEMBERED = 4.0
ALL_DAYS, WORKING_DAY, WEEKEND, MONDAY = 0, 1, 2, 3  # rows; Tuesday to Sunday follow Monday
ROWS = 10
SECONDS_A_DAY = 86400.0


class DayShape:
    """Mean value by half hour of the local day: for each day of the week, for working days and weekends, for all.

    The nearest of the three that is known is used. The local clock is that of the timestamps' own zone, so a
    shop's morning stays its morning through daylight-saving changes.
    """

    def __init__(self) -> None:
        self._means = [[0.0] * BINS for _ in range(ROWS)]
        self._counts = [[0] * BINS for _ in range(ROWS)]
        self._days = [[0] * BINS for _ in range(ROWS)]
        self._last_day = [[-1] * BINS for _ in range(ROWS)]

    def expect(self, local: datetime) -> tuple[float, float, float] | None:
        """The expected value, and the least and greatest within half a bin of now; None before it is known.

        The neighbourhood is what forgives an edge (a shop that opens, a nightly job) for a shape that can only
        be known to the half hour.
        """
        place = _clock(local)
        for rows in (_by_weekday, _by_type, _by_none):
            centre = self._between(rows, local, place)
            if centre is not None:
                around = [self._between(rows, local, place + shift) for shift in (-0.5, 0.5)]
                known = [centre, *(one for one in around if one is not None)]
                return centre, min(known), max(known)
        return None

    def learn(self, local: datetime, value: float, step_seconds: float) -> None:
        """Takes a value into the shape; the steps say how many of them make up the days to remember."""
        a_visit = max(SECONDS_A_DAY / BINS / max(step_seconds, 1.0), 1.0)
        slowest = 1.0 / (DAYS_REMEMBERED * a_visit)
        day, place, weekday = local.toordinal(), int(_clock(local)) % BINS, local.weekday()
        for row in (_by_none(weekday), _by_type(weekday), _by_weekday(weekday)):
            self._counts[row][place] += 1
            rate = max(slowest, 1.0 / self._counts[row][place])
            self._means[row][place] += (value - self._means[row][place]) * rate
            if self._last_day[row][place] != day:
                self._last_day[row][place] = day
                self._days[row][place] += 1

    def _between(self, rows: Callable[[int], int], local: datetime, place: float) -> float | None:
        """The shape at a place of the day, straight between the middles of two bins; None if either is new.

        Before the first bin's middle lies the evening of the day before, with a shape of its own.
        """
        below = math.floor(place - 0.5)
        part = place - 0.5 - below
        means = []
        for bin_ in (below, below + 1):
            days_on, at = divmod(bin_, BINS)
            row = rows((local.weekday() + days_on) % 7)
            if not self._known(row, at, local.toordinal()):
                return None
            means.append(self._means[row][at])
        return means[0] * (1.0 - part) + means[1] * part

    def _known(self, row: int, place: int, today: int) -> bool:
        """Whether a half hour was seen on days enough before today."""
        days = self._days[row][place] - (self._last_day[row][place] == today)
        return days >= DAYS_NEEDED or (days > 0 and self._counts[row][place] >= VALUES_ENOUGH)

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


def _by_none(_weekday: int) -> int:
    return ALL_DAYS


def _by_type(weekday: int) -> int:
    return WEEKEND if weekday >= 5 else WORKING_DAY


def _by_weekday(weekday: int) -> int:
    return MONDAY + weekday
