"""The default rule for a shop's KPIs, of which it is known how they scatter."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict
from datetime import datetime
from typing import ClassVar

from ecom_lakehouse.core.detection.expectation import Trial
from ecom_lakehouse.core.detection.scoring import MOST, Refractory, SurpriseSettings, normal_z
from ecom_lakehouse.core.detection.seasons import DayShape
from ecom_lakehouse.core.detection.verdict import Kind, State, Verdict, is_number, unjudged

STATE_VERSION = 1
SHORT, LONG = 5, 30  # values over which a shift is looked for
NEAR_RATE, FAR_RATE = 0.1, 0.003  # how fast the levels of the last minutes and of the last hours follow
CLIP, LEARN_CLIP = 2.5, 4.0  # deviations: the most that a value moves the levels, and the day's shape
CLIPPED_SQUARE = 0.9776  # the mean of min(z², CLIP²) for a normal z
SCATTER_RATE = 1.0 / 3000.0
CAUTION = 0.85  # z scores are taken for this much of themselves: real scatter is not quite normal
LEAST_SCATTER = 0.3  # counts and ratios scatter at least by chance; on their scales that is 1
SETTLED_AFTER = 360  # values off together in a row: then it is the new level
SETTLED_Z = 4.0
GAP_SECONDS = 1800.0  # after so long without a value the windows begin anew
SPARSE = 400.0  # a sum of counts below this is judged by Poisson's distribution as well
VIEWS = {"step": "this minute", "short": f"the last {SHORT} minutes", "long": f"the last {LONG} minutes"}


class Scatter:
    """Standard deviation of a statistic around 0, hardly moved by outliers: each counts for at most `CLIP`."""

    __slots__ = ("count", "square")

    def __init__(self, count: int = 0, square: float = 0.0) -> None:
        self.count = count
        self.square = square

    @property
    def deviation(self) -> float:
        """The standard deviation so far."""
        return math.sqrt(self.square)

    def learn(self, statistic: float) -> None:
        """Takes one value in."""
        self.count += 1
        square = statistic**2
        if self.count > 30:
            square = min(square, CLIP**2 * self.square) / CLIPPED_SQUARE
        self.square += (square - self.square) * max(1.0 / self.count, SCATTER_RATE)


class Track:
    """One way to expect the next value: a base (0, or the day's shape) and the levels found above it."""

    def __init__(self) -> None:
        self.near = self.far = 0.0
        self.count = 0
        self.off = 0
        self.scatters = {view: Scatter() for view in VIEWS}
        self.near_window: deque[float] = deque(maxlen=SHORT)
        self.far_window: deque[float] = deque(maxlen=LONG)

    def statistics(self, scaled: float, base: float, weight: float) -> dict[str, float]:
        """How far the value, and the last few together, lie off, in units of chance."""
        self.near_window.append((scaled - base - self.near) * weight)
        self.far_window.append((scaled - base - self.far) * weight)
        return {
            "step": self.near_window[-1],
            "short": sum(self.near_window) / math.sqrt(len(self.near_window)),
            "long": sum(self.far_window) / math.sqrt(len(self.far_window)),
        }

    def lasts(self) -> bool:
        """Whether the long window's deviation is still there in its newest values."""
        whole = sum(self.far_window) / len(self.far_window)
        newest = sum(list(self.far_window)[-SHORT:]) / min(SHORT, len(self.far_window))
        return newest * whole > 0.0 and abs(newest) >= abs(whole) / 3.0

    def learn(self, statistics: dict[str, float], weight: float) -> None:
        """Takes the value in: its scatter, and by at most `CLIP` deviations the levels."""
        for view, statistic in statistics.items():
            self.scatters[view].learn(statistic)
        self.count += 1
        self._settle(statistics["long"], weight)
        most = CLIP * max(self.scatters["step"].deviation, LEAST_SCATTER)
        free = self.count <= 30
        near, far = self.near_window[-1], self.far_window[-1]
        first = 1.0 / self.count
        self.near += (near if free else _clipped(near, most)) / weight * max(NEAR_RATE, first)
        self.far += (far if free else _clipped(far, most)) / weight * max(FAR_RATE, first)

    def _settle(self, long: float, weight: float) -> None:
        """Takes a level that has lasted for hours for the level."""
        lasts = abs(long) > SETTLED_Z * self.scatters["long"].deviation
        self.off = self.off + 1 if lasts else 0
        if self.off >= SETTLED_AFTER:
            self.far += sum(self.far_window) / len(self.far_window) / weight
            self.off = 0

    def forget_windows(self) -> None:
        """Begins the windows anew."""
        self.near_window.clear()
        self.far_window.clear()

    def state(self) -> State:
        """The track as JSON."""
        return {
            "near": self.near,
            "far": self.far,
            "count": self.count,
            "off": self.off,
            "scatters": {view: [one.count, one.square] for view, one in self.scatters.items()},
            "near_window": list(self.near_window),
            "far_window": list(self.far_window),
        }

    @classmethod
    def from_state(cls, state: State) -> Track:
        """The track that had this state."""
        track = cls()
        track.near, track.far = state["near"], state["far"]
        track.count, track.off = state["count"], state["off"]
        track.scatters = {view: Scatter(*numbers) for view, numbers in state["scatters"].items()}
        track.near_window.extend(state["near_window"])
        track.far_window.extend(state["far_window"])
        return track


class KpiDetector:
    """`surprise_v1` for counts, amounts and ratios: deviations from the day's shape in units of their own scatter.

    On a scale where chance scatters evenly (Anscombe's root for counts, the root for amounts, the arcsine for
    ratios over `support`), a value is compared with the day's shape and the level above it, alone and with the
    last 5 and 30. Level, shape and scatter follow outliers only so far, so that a fault that comes every day
    stays a surprise. While counts (or those above a ratio) are few, Poisson's distribution has the last word.
    """

    rule: ClassVar[str] = "surprise_v1"

    def __init__(self, settings: SurpriseSettings | None = None) -> None:
        self.settings = settings or SurpriseSettings(kind=Kind.COUNT)
        self._parameters = {**asdict(self.settings), "kind": self.settings.kind.value}
        self._count = 0
        self._seen_at: float | None = None
        self._step_seconds = 60.0
        self._shape = DayShape()
        self._trial = Trial()
        self._tracks = {"level": Track(), "day": Track()}
        self._recent: deque[tuple[float, float]] = deque(maxlen=LONG)
        self._refractory = Refractory()

    def observe(self, timestamp: datetime, value: float | None, support: float | None = None) -> Verdict:
        """The verdict on a value, see `Detector.observe`."""
        if value is None or not is_number(value):
            return unjudged(None, "no value")
        rule = self.settings
        if rule.min_support and (support or 0.0) < rule.min_support:
            return unjudged(value, f"only {support or 0:g} under the ratio, {rule.min_support:g} are needed")
        now = timestamp.timestamp()
        self._tick(now)
        scaled = _scaled(rule.kind, value)
        weight = 2.0 * math.sqrt(support) if rule.kind is Kind.RATIO and support else 1.0
        around = self._shape.expect(timestamp)
        bases = {"level": 0.0, **({} if around is None else {"day": around[0]})}
        found = {name: self._tracks[name].statistics(scaled, base, weight) for name, base in bases.items()}
        if around is not None:
            self._trial.compare(*(abs(self._tracks[name].far_window[-1]) for name in ("level", "day")))
        used = "day" if around is not None and self._trial.daily_is_nearer else "level"
        track, base = self._tracks[used], bases[used]
        expected = base + track.near
        verdict = self._judged(value, support, scaled, expected, weight, used, found[used])
        self._learn(timestamp, scaled, weight, base + track.far, track, found)
        return verdict

    def _tick(self, now: float) -> None:
        if self._seen_at is not None and now > self._seen_at:
            passed = now - self._seen_at
            if passed > max(GAP_SECONDS, 3.0 * self._step_seconds):
                self._recent.clear()
                for track in self._tracks.values():
                    track.forget_windows()
            self._step_seconds += (min(passed, 86400.0) - self._step_seconds) * 0.02
        self._seen_at = now

    def _judged(
        self,
        value: float,
        support: float | None,
        scaled: float,
        expected: float,
        weight: float,
        used: str,
        statistics: dict[str, float],
    ) -> Verdict:
        rule, track = self.settings, self._tracks[used]
        plain = _unscaled(rule.kind, expected)
        if self._count == 0:
            return unjudged(value, "no history yet")
        times = support or 0.0 if rule.kind is Kind.RATIO else 1.0
        self._recent.append((value * times, plain * times))
        scatters = {view: max(one.deviation, self._least(plain)) for view, one in track.scatters.items()}
        z_scores = {view: statistics[view] / scatters[view] for view in VIEWS}
        surprises = {view: self._surprise(view, z) for view, z in z_scores.items()}
        if not track.lasts():
            surprises["long"] = 0.0  # over already
        view = max(surprises, key=lambda name: surprises[name])
        surprise = min(surprises[view], MOST)
        if self._count < rule.probation or track.count < 60:
            surprise = min(surprise, 1.0)
        counted = self._refractory.counted(surprise, rule)
        reach = normal_z(rule.warn_surprise) / CAUTION * scatters["step"] / weight
        reason = f"{VIEWS[view]} off by {abs(z_scores[view]):.1f} times the usual scatter"
        return Verdict(
            value=value,
            baseline=plain,
            lower=_unscaled(rule.kind, expected - reach),
            upper=_unscaled(rule.kind, expected + reach),
            score=rule.score(counted),
            z=z_scores[view],
            severity=rule.severity(surprise),
            reason=reason if surprise >= 1.0 else "ordinary",
            inputs={
                "surprise": round(surprise, 3),
                "surprise_counted": round(counted, 3),
                "z": {name: round(z, 3) for name, z in z_scores.items()},
                "scatter": {name: round(one, 6) for name, one in scatters.items()},
                "scaled": {
                    "value": round(scaled, 6),
                    "expected": round(expected, 6),
                    "weight": round(weight, 6),
                },
                "expected_by": used,
                "n": self._count,
                "rule": self.rule,
                "parameters": self._parameters,
            },
        )

    def _least(self, expected: float) -> float:
        """The least scatter believed: chance itself for counts and ratios, a share of the level for amounts."""
        if self.settings.kind is Kind.AMOUNT:
            return max(0.5 * self.settings.least_share * math.sqrt(max(expected, 0.0)), 1e-9)
        return LEAST_SCATTER

    def _surprise(self, view: str, z: float) -> float:
        tail = math.erfc(CAUTION * abs(z) / math.sqrt(2.0))
        surprise = -math.log10(tail) if tail > 1e-300 else 300.0
        if self.settings.kind is Kind.AMOUNT or surprise < 1.0:
            return surprise
        last = list(self._recent)[-{"step": 1, "short": SHORT, "long": LONG}[view] :]
        seen, expected = sum(one for one, _ in last), sum(one for _, one in last)
        return min(surprise, _poisson_surprise(seen, expected)) if expected < SPARSE else surprise

    def _learn(
        self,
        timestamp: datetime,
        scaled: float,
        weight: float,
        expected: float,
        used: Track,
        found: dict[str, dict[str, float]],
    ) -> None:
        most = LEARN_CLIP * max(
            used.scatters["step"].deviation, self._least(_unscaled(self.settings.kind, expected))
        )
        taught = scaled if used.count <= 60 else expected + _clipped(scaled - expected, most / weight)
        for name, statistics in found.items():
            self._tracks[name].learn(statistics, weight)
        self._shape.learn(timestamp, taught, self._step_seconds)
        self._count += 1

    def state(self) -> State:
        """All that the rule knows, as JSON."""
        return {
            "version": STATE_VERSION,
            "model": "kpi",
            "count": self._count,
            "seen_at": self._seen_at,
            "step_seconds": self._step_seconds,
            "shape": self._shape.state(),
            "trial": [self._trial.count, self._trial.plain, self._trial.daily],
            "tracks": {name: track.state() for name, track in self._tracks.items()},
            "recent": [list(one) for one in self._recent],
            "refractory": self._refractory.state(),
        }

    @classmethod
    def from_state(cls, state: State, settings: SurpriseSettings | None = None) -> KpiDetector:
        """The detector that had this state.

        Raises:
            ValueError: the state is of another version.
        """
        if (state.get("version"), state.get("model")) != (STATE_VERSION, "kpi"):
            raise ValueError(f"state of {cls.rule} has version {state.get('version')}, not {STATE_VERSION}")
        known = cls(settings)
        known._count, known._seen_at = state["count"], state["seen_at"]
        known._step_seconds = state["step_seconds"]
        known._shape = DayShape.from_state(state["shape"])
        known._trial.count, known._trial.plain, known._trial.daily = state["trial"]
        known._tracks = {name: Track.from_state(one) for name, one in state["tracks"].items()}
        known._recent.extend((value, expected) for value, expected in state["recent"])
        known._refractory = Refractory.from_state(state["refractory"])
        return known


def _clipped(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _scaled(kind: Kind, value: float) -> float:
    """The value on a scale where chance scatters it evenly."""
    if kind is Kind.COUNT:
        return 2.0 * math.sqrt(max(value, 0.0) + 0.375)
    if kind is Kind.AMOUNT:
        return math.copysign(math.sqrt(abs(value)), value)
    return math.asin(math.sqrt(min(max(value, 0.0), 1.0))) if kind is Kind.RATIO else value


def _unscaled(kind: Kind, scaled: float) -> float:
    if kind is Kind.COUNT:
        return max((max(scaled, 0.0) / 2.0) ** 2 - 0.375, 0.0)
    if kind is Kind.AMOUNT:
        return max(scaled, 0.0) ** 2
    return math.sin(min(max(scaled, 0.0), math.pi / 2.0)) ** 2 if kind is Kind.RATIO else scaled


def _poisson_surprise(seen: float, expected: float) -> float:
    """−log10 of the probability of a count so far from what is expected, on its side, by Poisson's distribution."""
    expected = max(expected, 1e-6)
    count = round(seen)
    log_term = -expected + count * math.log(expected) - math.lgamma(count + 1.0)
    total, term = 1.0, 1.0
    if count >= expected:
        step = count
        while term > 1e-12 * total:  # this count and all above
            step += 1
            term *= expected / step
            total += term
    else:
        for step in range(count, 0, -1):  # this count and all below
            term *= step / expected
            total += term
            if term < 1e-12 * total:
                break
    return max(-(log_term + math.log(total)) / math.log(10.0), 0.0)
