"""From a surprise to a score: how the default rule's two models report, and their parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecom_lakehouse.core.detection.verdict import Kind, Severity, State

MOST = 14.0  # the largest surprise told apart


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

    def severity(self, surprise: float) -> Severity:
        """How bad a surprise is."""
        if surprise >= self.critical_surprise:
            return Severity.CRITICAL
        return Severity.WARN if surprise >= self.warn_surprise else Severity.NONE

    def score(self, surprise: float) -> float:
        """The surprise in 0 to 1: 0.03 where nothing is, 0.5 at `half_score_surprise`, 0.97 three decades on."""
        return 1.0 / (1.0 + math.exp(-1.2 * (surprise - self.half_score_surprise)))


class Refractory:
    """Lets one surprise an incident count in full: for a while after it, only a much greater one does."""

    def __init__(self) -> None:
        self._left = 0
        self._peak = 0.0

    def counted(self, surprise: float, rule: SurpriseSettings) -> float:
        """The surprise that counts for the score."""
        if self._left > 0:
            self._left -= 1
            if surprise < self._peak * rule.refractory_margin:
                return min(0.4 * surprise, 0.6 * rule.refractory_surprise)
        if surprise >= rule.refractory_surprise:
            self._peak, self._left = surprise, rule.refractory
        return surprise

    def state(self) -> State:
        """What is left of it, as JSON."""
        return {"left": self._left, "peak": self._peak}

    @classmethod
    def from_state(cls, state: State) -> Refractory:
        """The same, from its JSON."""
        refractory = cls()
        refractory._left, refractory._peak = state["left"], state["peak"]
        return refractory


def normal_z(surprise: float) -> float:
    """About the z score of a normal distribution that is as improbable, from both sides."""
    return math.sqrt(max(2.0 * math.log(10.0) * surprise - math.log(max(surprise * 7.2, 1.0)), 0.0))
