"""The default rule: how surprising is a value, in any of several ways, to all that the series did before."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import ClassVar

from ecom_lakehouse.core.detection.expectation import Deviation, Expectation
from ecom_lakehouse.core.detection.tails import SignedSurprise, TailMemory
from ecom_lakehouse.core.detection.verdict import Kind, Severity, State, Verdict, is_number, unjudged

STATE_VERSION = 1
WINDOWS = {"short": 8, "long": 32}  # values over which a shift is looked for
DELAYS = {"step": 10, "level": 30, "short": 16, "long": 64, "wobble": 30}
WOBBLE_WEIGHT = 0.8
WOBBLE_LEAST = 0.5  # a logarithm: scatter must change by two thirds to be worth a surprise
FLAT_LEAST = 8.0  # values without change before standing still can be a surprise
SEVERAL_VIEWS = 0.3  # what looking in several ways costs, as a surprise
GAP_STEPS = 12.0  # after a gap of so many steps the last values say nothing of the next
MOST = 14.0  # the largest surprise told apart

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


@dataclass(frozen=True)
class SurpriseSettings:
    """The rule's parameters; a surprise of s is to be expected once in 10^s ordinary values."""

    kind: Kind = Kind.GAUGE
    warn_surprise: float = 4.0
    critical_surprise: float = 6.0
    half_score_surprise: float = 3.0  # the surprise whose score is 0.5
    probation: int = 150  # values before anything but a low score is given
    refractory: int = 100  # values after a surprise during which only a greater one counts
    refractory_surprise: float = 2.8
    refractory_margin: float = 1.5  # how much greater
    least_share: float = 0.01  # of a value's usual size: what is never worth a surprise
    min_support: float = 0.0


# what is kept of a detector besides its parts
_NUMBERS = (
    *("_last", "_run", "_run_told", "_changes", "_wobble_now", "_wobble_usual"),
    *("_support", "_refractory_left", "_refractory_peak"),
)


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
        self._support = 0.0
        self._refractory_left = 0
        self._refractory_peak = 0.0

    def observe(self, timestamp: datetime, value: float | None, support: float | None = None) -> Verdict:
        """The verdict on a value, see `Detector.observe`."""
        if value is None or not is_number(value):
            return unjudged(None, "no value")
        rule = self.settings
        if rule.min_support and (support or 0.0) < rule.min_support:
            return unjudged(value, f"only {support or 0:g} under the ratio, {rule.min_support:g} are needed")
        scaled = _scaled(rule.kind, value)
        now = timestamp.timestamp()
        if self._expectation.count == 0:
            self._learn(timestamp, now, scaled, support)
            return unjudged(value, "no history yet")
        weight = self._weight(support)
        gap = self._expectation.steps_since(now) > GAP_STEPS
        seen = self._expectation.deviation(timestamp, scaled)
        surprises = self._surprises(scaled, seen, weight, gap)
        verdict = self._judged(value, scaled, seen, surprises, weight)
        self._learn(timestamp, now, scaled, support)
        return verdict

    def _surprises(self, scaled: float, seen: Deviation, weight: float, gap: bool) -> dict[str, float]:
        """The surprise by each view, all of which take the value into their memories."""
        least = self.settings.least_share * max(seen.usual_size, 1e-12)
        surprises = {LEVEL: self._view(LEVEL).observe(seen.level * weight, least)}
        daily = None if seen.daily_step is None else seen.daily_step * weight
        step = self._either(STEP, seen.step * weight, daily, seen.step_by_day, least)
        surprises[STEP] = 0.0 if gap and not seen.step_by_day else step
        if gap:
            self._windows = {}
        for window, values in WINDOWS.items():
            rate = 2.0 / (values + 1.0)
            mean = self._window(window, seen.drift * weight**2, rate)
            daily = None
            if seen.daily_drift is not None:
                daily = self._window(window + BY_DAY, seen.daily_drift * weight**2, rate)
            surprises[window] = self._either(window, mean, daily, seen.drift_by_day, least)
        surprises[WOBBLE] = self._wobble(scaled)
        surprises[FLAT] = self._flat(scaled)
        self._last = scaled
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

    def _wobble(self, scaled: float) -> float:
        """Surprise of how much successive values differ, against how much they used to."""
        if self._last is None:
            return 0.0
        change, count = abs(scaled - self._last), self._expectation.count
        bounded = min(change, 6.0 * self._wobble_usual + 1e-12)
        self._wobble_now += (bounded - self._wobble_now) * max(1.0 / count, 2.0 / 25.0)
        self._wobble_usual += (change - self._wobble_usual) * max(1.0 / count, 0.002)
        if self._wobble_now <= 0.0 or self._wobble_usual <= 0.0 or count <= 60:
            return 0.0
        ratio = math.log(self._wobble_now / self._wobble_usual)
        return WOBBLE_WEIGHT * self._view(WOBBLE).observe(ratio, WOBBLE_LEAST)

    def _flat(self, scaled: float) -> float:
        """Surprise of a run of equal values, told once a run: by runs before, and by how often values change."""
        if self._last is None:
            return 0.0
        changed = scaled != self._last
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

    def _judged(
        self, value: float, scaled: float, seen: Deviation, surprises: dict[str, float], weight: float
    ) -> Verdict:
        rule = self.settings
        view = max(surprises, key=lambda name: surprises[name])
        surprise = min(max(surprises[view] - SEVERAL_VIEWS, 0.0), MOST)
        if self._expectation.count < rule.probation:
            surprise = min(surprise, 1.0)
        counted = self._after_refractory(surprise)
        severity = (
            Severity.CRITICAL
            if surprise >= rule.critical_surprise
            else Severity.WARN
            if surprise >= rule.warn_surprise
            else Severity.NONE
        )
        lower, upper = self._band(seen, weight)
        reason = REASONS[view] if surprise >= 1.0 else "ordinary"
        return Verdict(
            value=value,
            baseline=_unscaled(rule.kind, seen.expected),
            lower=lower,
            upper=upper,
            score=1.0 / (1.0 + math.exp(-1.2 * (counted - rule.half_score_surprise))),
            z=math.copysign(_normal_z(surprise), scaled - seen.expected),
            severity=severity,
            reason=f"{reason} (1 in {10**surprise:,.0f})",
            inputs={
                "surprise": round(surprise, 3),
                "surprise_counted": round(counted, 3),
                "surprises": {name: round(one, 3) for name, one in surprises.items()},
                "expected_by": "day" if seen.step_by_day else "last values",
                "n": self._expectation.count,
                "parameters": self._parameters,
            },
        )

    def _after_refractory(self, surprise: float) -> float:
        """The surprise that counts for the score: one alarm an incident, unless it gets much worse."""
        rule = self.settings
        if self._refractory_left > 0:
            self._refractory_left -= 1
            if surprise < self._refractory_peak * rule.refractory_margin:
                return min(0.4 * surprise, 0.6 * rule.refractory_surprise)
        if surprise >= rule.refractory_surprise:
            self._refractory_peak, self._refractory_left = surprise, rule.refractory
        return surprise

    def _band(self, seen: Deviation, weight: float) -> tuple[float | None, float | None]:
        """Between which values the step alone would not have warned."""
        rule = self.settings
        steps = self._views.get(STEP + BY_DAY * seen.step_by_day)
        if steps is None:
            return None, None
        least = rule.least_share * max(seen.usual_size, 1e-12)
        down, up = steps.band(rule.warn_surprise + SEVERAL_VIEWS, least)
        if not math.isfinite(down) or not math.isfinite(up):
            return None, None
        return (
            _unscaled(rule.kind, seen.expected + down / weight),
            _unscaled(rule.kind, seen.expected + up / weight),
        )

    def _weight(self, support: float | None) -> float:
        """How precise a ratio is against its usual precision; 1 for everything else."""
        if self.settings.kind is not Kind.RATIO or not support or not self._support:
            return 1.0
        return min(math.sqrt(support / self._support), 2.0)

    def _learn(self, timestamp: datetime, now: float, scaled: float, support: float | None) -> None:
        trust = min(self._weight(support) ** 2, 1.0)
        self._expectation.learn(timestamp, now, scaled, trust)
        if support:
            rate = max(1.0 / self._expectation.count, 0.002)
            self._support += (support - self._support) * rate

    def state(self) -> State:
        """All that the rule knows, as JSON."""
        return {
            "version": STATE_VERSION,
            "expectation": self._expectation.state(),
            "views": {name: view.state() for name, view in self._views.items()},
            "windows": dict(self._windows),
            "still": self._still.state(),
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
        for name in _NUMBERS:
            setattr(known, name, state["numbers"][name])
        return known


def _scaled(kind: Kind, value: float) -> float:
    """The value on a scale where its scatter hardly depends on its size (Anscombe's root for counts)."""
    if kind is Kind.COUNT:
        return 2.0 * math.sqrt(max(value, 0.0) + 0.375)
    if kind is Kind.AMOUNT:
        return math.sqrt(max(value, 0.0))
    return value


def _unscaled(kind: Kind, scaled: float) -> float:
    if kind is Kind.COUNT:
        return max((max(scaled, 0.0) / 2.0) ** 2 - 0.375, 0.0)
    if kind is Kind.AMOUNT:
        return max(scaled, 0.0) ** 2
    return max(scaled, 0.0) if kind is Kind.RATIO else scaled


def _normal_z(surprise: float) -> float:
    """About the z score of a normal distribution that is as improbable: −log10 of a two-sided tail."""
    return math.sqrt(max(2.0 * math.log(10.0) * surprise - math.log(max(surprise * 7.2, 1.0)), 0.0))
