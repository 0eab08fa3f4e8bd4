"""The default rule for any series: how surprising is a value, in several ways, to all that it did before?"""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime
from typing import ClassVar

from ecom_lakehouse.core.detection.expectation import Deviation, Expectation
from ecom_lakehouse.core.detection.scoring import MOST, Refractory, SurpriseSettings, normal_z
from ecom_lakehouse.core.detection.tails import SignedSurprise, TailMemory
from ecom_lakehouse.core.detection.verdict import State, Verdict, is_number, unjudged

STATE_VERSION = 1
WINDOWS = {"short": 8, "long": 32}  # values over which a shift is looked for
DELAYS = {"step": 10, "level": 30, "short": 16, "long": 64, "wobble": 30}
WOBBLE_WEIGHT = 0.8
WOBBLE_LEAST = 0.5  # a logarithm: scatter must change by two thirds to be worth a surprise
FLAT_LEAST = 8.0  # values without change before standing still can be a surprise
SEVERAL_VIEWS = 0.3  # what looking in several ways costs, as a surprise
GAP_STEPS = 12.0  # after a gap of so many steps the last values say nothing of the next

STEP, LEVEL, SHORT, LONG, WOBBLE, FLAT = "step", "level", "short", "long", "wobble", "flat"
BY_DAY = " by day"
REASONS = {
    STEP: "unlike the values just before it",
    LEVEL: "far from all values so far",
    SHORT: f"the last {WINDOWS['short']} values lie off together",
    LONG: f"the last {WINDOWS['long']} values lie off together",
    WOBBLE: "scatters unlike before",
    FLAT: "stands still unlike before",
}


# what is kept of a detector besides its parts
_NUMBERS = ("_last", "_run", "_run_told", "_changes", "_wobble_now", "_wobble_usual")


class SurpriseDetector:
    """`surprise_v1`: tail probabilities of several statistics against a long memory of each.

    After Numenta's anomaly likelihood (recent errors against a long memory of errors) and DSPOT (streaming
    extreme value theory): the step from the last values or the day's shape, the level, the mean deviation over 8
    and 32 values, the scatter, and standing still each have a fading memory of thousands of values; the least
    probable of them is the value's surprise. See docs/detection.md.
    """

    rule: ClassVar[str] = "surprise_v1"

    def __init__(self, settings: SurpriseSettings | None = None) -> None:
        self.settings = settings or SurpriseSettings()
        self._parameters = {**asdict(self.settings), "kind": str(self.settings.kind)}
        self._expectation = Expectation()
        self._views: dict[str, SignedSurprise] = {}
        self._windows: dict[str, float] = {}
        self._still = TailMemory()
        self._last: float | None = None
        self._run = 0
        self._run_told = False
        self._changes = 0.0
        self._wobble_now = self._wobble_usual = 0.0
        self._refractory = Refractory()

    def observe(self, timestamp: datetime, value: float | None, support: float | None = None) -> Verdict:
        """The verdict on a value, see `Detector.observe`."""
        if value is None or not is_number(value):
            return unjudged(None, "no value")
        now = timestamp.timestamp()
        if self._expectation.count == 0:
            self._expectation.learn(timestamp, now, value)
            return unjudged(value, "no history yet")
        gap = self._expectation.steps_since(now) > GAP_STEPS
        seen = self._expectation.deviation(timestamp, value)
        surprises = self._surprises(value, seen, gap)
        verdict = self._judged(value, seen, surprises)
        self._expectation.learn(timestamp, now, value)
        return verdict

    def _surprises(self, value: float, seen: Deviation, gap: bool) -> dict[str, float]:
        """The surprise by each view, all of which take the value into their memories."""
        least = self.settings.least_share * max(seen.usual_size, 1e-12)
        surprises = {LEVEL: self._view(LEVEL).observe(seen.level, least)}
        step = self._either(STEP, seen.step, seen.daily_step, seen.step_by_day, least)
        surprises[STEP] = 0.0 if gap and not seen.step_by_day else step
        if gap:
            self._windows = {}
        for window, values in WINDOWS.items():
            rate = 2.0 / (values + 1.0)
            mean = self._window(window, seen.drift, rate)
            daily = None
            if seen.daily_drift is not None:
                daily = self._window(window + BY_DAY, seen.daily_drift, rate)
            surprises[window] = self._either(window, mean, daily, seen.drift_by_day, least)
        surprises[WOBBLE] = self._wobble(value)
        surprises[FLAT] = self._flat(value)
        self._last = value
        return surprises

    def _either(self, name: str, plain: float, daily: float | None, by_day: bool, least: float) -> float:
        """The surprise by the expectation in use; the other one's memory goes on."""
        used, other = (daily, plain) if by_day else (plain, daily)
        if other is not None:
            self._view(name + BY_DAY * (not by_day)).remember(other)
        return self._view(name + BY_DAY * by_day).observe(used or 0.0, least)

    def _view(self, name: str) -> SignedSurprise:
        if name not in self._views:
            view = name.removesuffix(BY_DAY)
            self._views[name] = SignedSurprise(DELAYS[view], correlated_over=WINDOWS.get(view, 1))
        return self._views[name]

    def _window(self, name: str, deviation: float, rate: float) -> float:
        before = self._windows.get(name, 0.0)
        self._windows[name] = before + (deviation - before) * rate
        return self._windows[name]

    def _wobble(self, value: float) -> float:
        """Surprise of how much successive values differ, against how much they used to."""
        if self._last is None:
            return 0.0
        change, count = abs(value - self._last), self._expectation.count
        bounded = min(change, 6.0 * self._wobble_usual + 1e-12)
        self._wobble_now += (bounded - self._wobble_now) * max(1.0 / count, 2.0 / 25.0)
        self._wobble_usual += (change - self._wobble_usual) * max(1.0 / count, 0.002)
        if self._wobble_now <= 0.0 or self._wobble_usual <= 0.0 or count <= 60:
            return 0.0
        ratio = math.log(self._wobble_now / self._wobble_usual)
        return WOBBLE_WEIGHT * self._view(WOBBLE).observe(ratio, WOBBLE_LEAST)

    def _flat(self, value: float) -> float:
        """Surprise of a run of equal values, told once a run: by runs before, and by how often values change."""
        if self._last is None:
            return 0.0
        changed = value != self._last
        if changed or self._run < 50:  # a long run must not unlearn that values change
            rate = max(1.0 / self._expectation.count, 1.0 / 4000.0)
            self._changes += (float(changed) - self._changes) * rate
        if changed:
            self._still.add(float(self._run))
            self._run, self._run_told = 0, False
            return 0.0
        self._run += 1
        self._still.add(0.0)
        if self._run <= FLAT_LEAST or self._run_told or self._expectation.count <= 60:
            return 0.0
        by_chance = -self._run * math.log10(max(1.0 - self._changes, 1e-9))
        surprise = min(self._still.surprise(float(self._run), FLAT_LEAST), by_chance)
        self._run_told = surprise > 4.0
        return surprise

    def _judged(self, value: float, seen: Deviation, surprises: dict[str, float]) -> Verdict:
        rule = self.settings
        view = max(surprises, key=lambda name: surprises[name])
        surprise = min(max(surprises[view] - SEVERAL_VIEWS, 0.0), MOST)
        if self._expectation.count < rule.probation:
            surprise = min(surprise, 1.0)
        counted = self._refractory.counted(surprise, rule)
        lower, upper = self._band(seen)
        reason = REASONS[view] if surprise >= 1.0 else "ordinary"
        return Verdict(
            value=value,
            baseline=seen.expected,
            lower=lower,
            upper=upper,
            score=rule.score(counted),
            z=math.copysign(normal_z(surprise), value - seen.expected),
            severity=rule.severity(surprise),
            reason=f"{reason} (1 in {10**surprise:,.0f})",
            inputs={
                "surprise": round(surprise, 3),
                "surprise_counted": round(counted, 3),
                "surprises": {name: round(one, 3) for name, one in surprises.items()},
                "expected_by": "day" if seen.step_by_day else "last values",
                "n": self._expectation.count,
                "rule": self.rule,
                "parameters": self._parameters,
            },
        )

    def _band(self, seen: Deviation) -> tuple[float | None, float | None]:
        """Between which values the step alone would not have warned."""
        rule = self.settings
        steps = self._views.get(STEP + BY_DAY * seen.step_by_day)
        if steps is None:
            return None, None
        least = rule.least_share * max(seen.usual_size, 1e-12)
        down, up = steps.band(rule.warn_surprise + SEVERAL_VIEWS, least)
        if not math.isfinite(down) or not math.isfinite(up):
            return None, None
        return seen.expected + down, seen.expected + up

    def state(self) -> State:
        """All that the rule knows, as JSON."""
        return {
            "version": STATE_VERSION,
            "model": "gauge",
            "expectation": self._expectation.state(),
            "views": {name: view.state() for name, view in self._views.items()},
            "windows": dict(self._windows),
            "still": self._still.state(),
            "refractory": self._refractory.state(),
            "numbers": {name: getattr(self, name) for name in _NUMBERS},
        }

    @classmethod
    def from_state(cls, state: State, settings: SurpriseSettings | None = None) -> SurpriseDetector:
        """The detector that had this state.

        Raises:
            ValueError: the state is of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"state of {cls.rule} has version {state.get('version')}, not {STATE_VERSION}")
        known = cls(settings)
        known._expectation = Expectation.from_state(state["expectation"])
        known._views = {name: SignedSurprise.from_state(one) for name, one in state["views"].items()}
        known._windows = dict(state["windows"])
        known._still = TailMemory.from_state(state["still"])
        known._refractory = Refractory.from_state(state["refractory"])
        for name in _NUMBERS:
            setattr(known, name, state["numbers"][name])
        return known
