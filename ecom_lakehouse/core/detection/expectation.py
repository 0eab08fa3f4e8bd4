"""What a series is expected to do next: by its last values, by its day, by whichever has been nearer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ecom_lakehouse.core.detection.seasons import DayShape
from ecom_lakehouse.core.detection.verdict import State

FAST = 0.25  # weight of a new value in the level of the last few values
SLOW = 0.004  # in the level of the last few hundred
LONG = 0.0007  # in the level of the last few thousand
SIZE = 0.002  # in the usual size of values and of steps
STEP = 0.02  # in the usual time between values
TRIALS = 50  # values that both expectations are tried on before the day's shape may be preferred
BETTER = 0.97  # how much nearer it must be
OUTLIER = 4.0  # times its usual error: the most that one value counts in that trial


@dataclass(frozen=True)
class Deviation:
    """How far a value is from what was expected of it, in three ways, and by which expectation."""

    expected: float
    step: float  # from the last few values
    daily_step: float | None  # from the day's shape, near the last few values; None before it is known
    drift: float  # from the last few hundred values: its mean over a window shows shifts
    daily_drift: float | None
    level: float  # from the last few thousand
    step_by_day: bool  # whether the day's shape has earned its use for the step
    drift_by_day: bool
    usual_size: float


class Trial:
    """Which of two expectations has been nearer, forgetting slowly, outliers bounded."""

    def __init__(self) -> None:
        self.count = 0
        self.plain = 0.0
        self.daily = 0.0

    def compare(self, plain: float, daily: float) -> None:
        """Takes the absolute errors of both on one value."""
        self.count += 1
        rate = max(1.0 / self.count, 0.003)
        if self.count > 20:
            plain = min(plain, OUTLIER * self.plain)
            daily = min(daily, OUTLIER * self.daily)
        self.plain += (plain - self.plain) * rate
        self.daily += (daily - self.daily) * rate

    @property
    def daily_is_nearer(self) -> bool:
        """Whether the day's shape has earned its use."""
        return self.count > TRIALS and self.daily < BETTER * self.plain


# what is kept of an expectation besides its parts
_NUMBERS = (
    *("count", "step_seconds", "_seen_at", "_fast", "_slow", "_long", "_size"),
    *("_fast_off_day", "_slow_off_day"),
)


class Expectation:
    """Levels at three speeds and the shape of the day, all learned one value at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.step_seconds: float | None = None
        self._seen_at: float | None = None
        self._fast = self._slow = self._long = self._size = 0.0
        self._fast_off_day = self._slow_off_day = 0.0
        self._shape = DayShape()
        self._around: tuple[float, float, float] | None = None
        self._step_trial = Trial()
        self._drift_trial = Trial()

    def deviation(self, local: datetime, value: float) -> Deviation:
        """How far a value is from what is expected at its time; learns nothing but which way is nearer."""
        step, drift = value - self._fast, value - self._slow
        level = value - self._long
        self._around = self._shape.expect(local)
        if self._around is None:
            return Deviation(self._fast, step, None, drift, None, level, False, False, self._size)
        centre, least, most = self._around
        daily_step = _outside(value - self._fast_off_day, least, most)
        daily_drift = _outside(value - self._slow_off_day, least, most)
        self._step_trial.compare(abs(step), abs(daily_step))
        self._drift_trial.compare(abs(drift), abs(daily_drift))
        by_day = self._step_trial.daily_is_nearer
        return Deviation(
            expected=centre + self._fast_off_day if by_day else self._fast,
            step=step,
            daily_step=daily_step,
            drift=drift,
            daily_drift=daily_drift,
            level=level,
            step_by_day=by_day,
            drift_by_day=self._drift_trial.daily_is_nearer,
            usual_size=self._size,
        )

    def steps_since(self, now: float) -> float:
        """How many usual steps of time lie between the last value and now; 1 where nothing is known yet."""
        if self._seen_at is None or not self.step_seconds:
            return 1.0
        return (now - self._seen_at) / self.step_seconds

    def learn(self, local: datetime, now: float, value: float) -> None:
        """Takes in a value whose deviation was asked just before; `now` is its time in seconds."""
        if self._seen_at is not None and now > self._seen_at:
            passed = now - self._seen_at
            self.step_seconds = (
                passed
                if self.step_seconds is None
                else self.step_seconds + (passed - self.step_seconds) * STEP
            )
        self._seen_at = max(now, self._seen_at or now)
        self.count += 1
        first = 1.0 / self.count
        self._fast += (value - self._fast) * max(FAST, first)
        self._slow += (value - self._slow) * max(SLOW, first)
        self._long += (value - self._long) * max(LONG, first)
        self._size += (abs(value) - self._size) * max(SIZE, first)
        around = self._around
        self._shape.learn(local, value, self.step_seconds or 1.0)
        if around is not None:
            self._fast_off_day += (value - around[0] - self._fast_off_day) * FAST
            self._slow_off_day += (value - around[0] - self._slow_off_day) * SLOW

    def state(self) -> State:
        """All that is known, as JSON."""
        return {
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
            "shape": self._shape.state(),
            "trials": [[one.count, one.plain, one.daily] for one in (self._step_trial, self._drift_trial)],
        }

    @classmethod
    def from_state(cls, state: State) -> Expectation:
        """The expectation that had this state."""
        known = cls()
        for name in _NUMBERS:
            setattr(known, name, state["numbers"][name])
        known._shape = DayShape.from_state(state["shape"])
        for trial, numbers in zip((known._step_trial, known._drift_trial), state["trials"], strict=True):
            trial.count, trial.plain, trial.daily = numbers
        return known


def _outside(value: float, least: float, most: float) -> float:
    """How far a value lies outside a span; 0 within."""
    return value - most if value > most else min(value - least, 0.0)
