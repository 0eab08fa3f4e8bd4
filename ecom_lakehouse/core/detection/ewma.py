"""The plain rule: z score of the residual from an exponentially weighted mean."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar

from ecom_lakehouse.core.detection.verdict import Severity, State, Verdict, is_number, unjudged

STATE_VERSION = 1
SMALLEST_SPREAD = 1e-9  # of the baseline: the scatter of a series that never moved


@dataclass(frozen=True)
class EwmaSettings:
    """The rule's parameters, with the defaults that the field knows it by."""

    alpha: float = 0.2
    window: int = 60
    lookback_minutes: float = 180.0
    warn_z: float = 3.0
    critical_z: float = 5.0
    history: int = 30  # residuals needed before anything is said
    min_support: float = 0.0


class EwmaZScore:
    """`ewma_zscore_v1`: the residual against the residuals before it.

    baseline = EWMA of the values before this one; residual = value − baseline; z = (residual − mean) / standard
    deviation (n − 1) of up to `window` residuals before it, none older than `lookback_minutes`. The band is
    where |z| stays under `warn_z`; score = |z| / (|z| + warn_z), so that a warning begins at 0.5.
    """

    rule: ClassVar[str] = "ewma_zscore_v1"

    def __init__(self, settings: EwmaSettings | None = None) -> None:
        self.settings = settings or EwmaSettings()
        self._mean: float | None = None
        self._seen_at = -math.inf
        self._residuals: deque[tuple[float, float]] = deque(maxlen=self.settings.window)

    def observe(self, timestamp: datetime, value: float | None, support: float | None = None) -> Verdict:
        """The verdict on a value, see `Detector.observe`."""
        if value is None or not is_number(value):
            return unjudged(None, "no value")
        rule = self.settings
        if rule.min_support and (support or 0.0) < rule.min_support:
            return unjudged(value, f"only {support or 0:g} under the ratio, {rule.min_support:g} are needed")
        now = timestamp.timestamp()
        self._forget(now - rule.lookback_minutes * 60.0)
        if self._mean is None:
            self._learn(now, value, None)
            return unjudged(value, "no history yet")
        baseline = self._mean
        residual = value - baseline
        verdict = self._judged(value, baseline, residual)
        self._learn(now, value, residual)
        return verdict

    def state(self) -> State:
        """All that the rule knows, as JSON."""
        return {
            "version": STATE_VERSION,
            "mean": self._mean,
            "seen_at": self._seen_at if self._mean is not None else None,
            "residuals": [list(one) for one in self._residuals],
        }

    @classmethod
    def from_state(cls, state: State, settings: EwmaSettings | None = None) -> EwmaZScore:
        """The detector that had this state.

        Raises:
            ValueError: the state is of another version.
        """
        if state.get("version") != STATE_VERSION:
            raise ValueError(f"state of {cls.rule} has version {state.get('version')}, not {STATE_VERSION}")
        detector = cls(settings)
        if state["mean"] is not None:
            detector._mean, detector._seen_at = state["mean"], state["seen_at"]
            detector._residuals.extend((at, residual) for at, residual in state["residuals"])
        return detector

    def _forget(self, oldest: float) -> None:
        while self._residuals and self._residuals[0][0] < oldest:
            self._residuals.popleft()
        if self._seen_at < oldest:
            self._mean = None

    def _learn(self, now: float, value: float, residual: float | None) -> None:
        self._mean = value if self._mean is None else self._mean + self.settings.alpha * (value - self._mean)
        self._seen_at = now
        if residual is not None:
            self._residuals.append((now, residual))

    def _judged(self, value: float, baseline: float, residual: float) -> Verdict:
        rule, n = self.settings, len(self._residuals)
        if n < rule.history:
            return unjudged(value, f"{n} residuals so far, {rule.history} are needed")
        mean = sum(one for _, one in self._residuals) / n
        spread = math.sqrt(sum((one - mean) ** 2 for _, one in self._residuals) / (n - 1))
        spread = max(spread, SMALLEST_SPREAD * max(abs(baseline), 1.0))
        z = (residual - mean) / spread
        size = abs(z)
        severity = (
            Severity.CRITICAL
            if size >= rule.critical_z
            else Severity.WARN
            if size >= rule.warn_z
            else Severity.NONE
        )
        centre = baseline + mean
        inputs: dict[str, Any] = {
            "residual": residual,
            "residual_mean": mean,
            "residual_sd": spread,
            "n": n,
            **asdict(rule),
        }
        return Verdict(
            value=value,
            baseline=baseline,
            lower=centre - rule.warn_z * spread,
            upper=centre + rule.warn_z * spread,
            score=size / (size + rule.warn_z),
            z=z,
            severity=severity,
            reason=f"z {z:+.1f} of the residual among {n} before it",
            inputs=inputs,
        )
