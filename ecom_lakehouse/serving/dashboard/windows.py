"""Stretches of time that a chart shows: how long, in which steps, compared with what, on which axis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAPS = 36  # a live axis moves on by about a 36th of its length at once: 5 minutes of 3 hours
LONGEST_BY_MINUTE = DAY  # 1,440 points: about as many as a wide screen has pixels

LOOKBACKS = {
    "15m": timedelta(minutes=15),
    "1h": HOUR,
    "3h": 3 * HOUR,
    "6h": 6 * HOUR,
    "12h": 12 * HOUR,
    "24h": DAY,
    "3d": 3 * DAY,
    "7d": 7 * DAY,
    "14d": 14 * DAY,
    "30d": 30 * DAY,
}
DEFAULT_LOOKBACK = "3h"


@dataclass(frozen=True)
class Window:
    """A range of data in steps, and the range that the time axis shows.

    `start` and `end` are whole steps. The axis reaches a little further and moves in leaps of its own, so that
    it stands still while minutes pass.
    """

    start: datetime
    end: datetime
    step: str
    axis_start: datetime
    axis_end: datetime

    @property
    def length(self) -> timedelta:
        """From start to end."""
        return self.end - self.start

    @property
    def step_length(self) -> timedelta:
        """The length of one point."""
        return MINUTE if self.step == "minute" else HOUR


@dataclass(frozen=True)
class Comparison:
    """The same time before: how far back, and what people call it."""

    shift: timedelta
    name: str


def live_window(lookback: timedelta, now: datetime) -> Window:
    """The newest stretch of that length; it ends with the step that is running."""
    step, length = _step(lookback)
    end = _ceiling(now, length)
    leap = -(lookback // -(length * LEAPS)) * length
    axis_end = _ceiling(now, leap)
    return Window(end - lookback, end, step, axis_end - lookback, axis_end)


def pinned_window(start: datetime, end: datetime) -> Window:
    """A stretch that stays, widened to whole steps.

    Raises:
        ValueError: it is empty, or longer than the longest lookback.
    """
    longest = max(LOOKBACKS.values())
    if not timedelta(0) < end - start <= longest:
        raise ValueError(f"a pinned range must end after it starts and be at most {longest.days} days long")
    step, length = _step(end - start)
    first, last = _floor(start, length), _ceiling(end, length)
    return Window(first, last, step, first, last)


def comparison(length: timedelta) -> Comparison:
    """What a stretch is compared with: yesterday, last week, or the stretch right before it."""
    if length <= DAY:
        return Comparison(DAY, "vs a day before")
    if length <= 7 * DAY:
        return Comparison(7 * DAY, "vs a week before")
    return Comparison(length, f"vs the {length.days} days before")


def _step(length: timedelta) -> tuple[str, timedelta]:
    return ("minute", MINUTE) if length <= LONGEST_BY_MINUTE else ("hour", HOUR)


def _floor(at: datetime, length: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // length * length


def _ceiling(at: datetime, length: timedelta) -> datetime:
    return EPOCH - (EPOCH - at) // length * length
