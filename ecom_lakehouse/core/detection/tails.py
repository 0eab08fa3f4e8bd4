"""How surprising a number is, given a long memory of numbers like it."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

from ecom_lakehouse.core.detection.verdict import State

BIN = 0.08  # width of a bin in logarithms: sizes are known to 8 %
MEMORY = 4000.0  # observations until a memory has faded to a third
TAIL = 0.03  # the part of the memory that the tail's shape is estimated from
TAIL_COUNT = 6.0  # and the least number of observations in it
SHAPE, SHAPE_WEIGHT = (
    0.2,
    8.0,
)  # the shape believed before any is seen, and how many observations that is worth
SEEN_BEFORE = 0.05  # logarithm of how much smaller a remembered size may be to count as one like this
SEEN_WEIGHT = 0.4
FEWEST = 20.0  # observations before anything is a surprise
RESCALE_AT = 1e9
FORGOTTEN = 1e-3


class TailMemory:
    """Fading memory of the sizes of one statistic, and the probability of a larger one.

    Sizes are kept as a histogram with logarithmic bins, so the state is small whatever the unit. Beyond the
    highest `TAIL` of the memory the tail is taken for a power law (Hill's estimator, drawn to `SHAPE` while
    little is known): light tails are found light, bursty ones heavy, and the same size is a surprise in the one
    and none in the other. What has come before several times is never rarer than it was.
    """

    __slots__ = ("_bins", "_increment", "_keys", "_prior", "_stale_after", "_tail", "_total")

    def __init__(self, correlated_over: float = 1.0) -> None:
        """`correlated_over`: about how many successive observations say the same thing."""
        self._bins: dict[int, float] = {}
        self._keys: list[int] = []
        self._total = 0.0
        self._increment = 1.0
        self._prior = math.sqrt(correlated_over)
        self._tail = (-math.inf, 0.0, 0.0)
        self._stale_after = 0

    def add(self, size: float) -> None:
        """Remembers a size; zero or less counts as an observation without one."""
        self._increment /= 1.0 - 1.0 / MEMORY
        if self._increment > RESCALE_AT:
            self._rescale()
        self._total += self._increment
        self._stale_after -= 1
        if size <= 0.0:
            return
        key = math.floor(math.log(size) / BIN)
        if key in self._bins:
            self._bins[key] += self._increment
        else:
            self._bins[key] = self._increment
            insort(self._keys, key)

    def surprise(self, size: float, least: float) -> float:
        """−log10 of the probability of a size at least this large, 0 for anything ordinary.

        `least` is the smallest size worth a surprise, in the statistic's unit.
        """
        count = self._total / self._increment
        if size <= least or count < FEWEST:
            return 0.0
        log_size = math.log(size)
        begins, share, shape = self._fitted(least)
        if log_size <= begins:
            return 0.0
        surprise = share + (log_size - begins) / shape
        alike = self._at_least(log_size - SEEN_BEFORE)
        if alike > 0.2:
            surprise = min(surprise, -math.log10(min(SEEN_WEIGHT * alike / count, 1.0)))
        return max(surprise, 0.0)

    def size_at(self, surprise: float, least: float) -> float:
        """The size whose surprise is about this, by the tail alone: where a band ends."""
        if self._total / self._increment < FEWEST:
            return math.inf
        begins, share, shape = self._fitted(least)
        return math.exp(min(begins + max(surprise - share, 0.0) * shape, 700.0))

    def _fitted(self, least: float) -> tuple[float, float, float]:
        """The tail: the logarithm where it begins, the surprise there, and its decades' width in logarithms."""
        if self._stale_after <= 0:
            self._tail = self._measured()
            self._stale_after = min(int(self._total / self._increment / 100.0), 20)
        begins, weight, moment = self._tail
        log_least = math.log(max(least, 1e-300))
        if begins == -math.inf:
            begins = log_least
        count, known = self._total / self._increment, SHAPE_WEIGHT * self._prior
        excess = max(moment - weight * begins, 0.0)
        shape = (excess + known * SHAPE) / (weight + known)
        share = min((weight + self._prior) / (count + self._prior), 1.0)
        return max(begins, log_least), -math.log10(share), shape * math.log(10.0)

    def _measured(self) -> tuple[float, float, float]:
        """Where the tail begins (a logarithm), how many lie in it, and the sum of their logarithms."""
        needed = max(TAIL * self._total, TAIL_COUNT * self._increment)
        weight = moment = 0.0
        begins = -math.inf
        for key in reversed(self._keys):
            at_key = self._bins[key]
            weight += at_key
            moment += at_key * (key + 0.5)
            if weight >= needed:
                begins = key * BIN
                break
        return begins, weight / self._increment, moment * BIN / self._increment

    def _at_least(self, log_size: float) -> float:
        lowest = math.floor(log_size / BIN)
        weight = 0.0
        for key in reversed(self._keys):
            if key < lowest:
                break
            weight += self._bins[key]
        return weight / self._increment

    def _rescale(self) -> None:
        scale = self._increment
        self._bins = {key: at / scale for key, at in self._bins.items() if at / scale > FORGOTTEN}
        self._keys = sorted(self._bins)
        self._total /= scale
        self._increment = 1.0

    def state(self) -> State:
        """The memory as JSON."""
        scale = self._increment
        return {
            "bins": [[key, round(self._bins[key] / scale, 4)] for key in self._keys],
            "total": self._total / scale,
            "prior": self._prior,
            "tail": list(self._tail) if self._tail[0] > -math.inf else None,
            "stale_after": self._stale_after,
        }

    @classmethod
    def from_state(cls, state: State) -> TailMemory:
        """The memory that had this state."""
        memory = cls()
        memory._bins = {int(key): float(at) for key, at in state["bins"]}
        memory._keys = sorted(memory._bins)
        memory._total = float(state["total"])
        memory._prior = float(state["prior"])
        if state["tail"] is not None:
            memory._tail = (state["tail"][0], state["tail"][1], state["tail"][2])
            memory._stale_after = int(state["stale_after"])
        return memory


class SignedSurprise:
    """Surprise of a signed statistic: rises and falls have memories of their own.

    A value enters its memory `delay` observations later, so that an anomaly that lasts is not taken for usual by
    its own beginning.
    """

    __slots__ = ("_delay", "_down", "_up", "_waiting")

    def __init__(self, delay: int, correlated_over: float = 1.0) -> None:
        self._up = TailMemory(correlated_over)
        self._down = TailMemory(correlated_over)
        self._delay = delay
        self._waiting: deque[float] = deque()

    def observe(self, statistic: float, least: float) -> float:
        """The surprise of a statistic, which is then remembered."""
        side = self._up if statistic > 0.0 else self._down
        surprise = side.surprise(abs(statistic), least)
        self.remember(statistic)
        return surprise

    def remember(self, statistic: float) -> None:
        """Takes a statistic into memory without asking how surprising it is."""
        self._waiting.append(statistic)
        if len(self._waiting) > self._delay:
            ripe = self._waiting.popleft()
            self._up.add(ripe)
            self._down.add(-ripe)

    def band(self, surprise: float, least: float) -> tuple[float, float]:
        """Between which statistics the surprise stays under a level."""
        return -self._down.size_at(surprise, least), self._up.size_at(surprise, least)

    def state(self) -> State:
        """Both memories and what waits, as JSON."""
        return {
            "up": self._up.state(),
            "down": self._down.state(),
            "delay": self._delay,
            "waiting": list(self._waiting),
        }

    @classmethod
    def from_state(cls, state: State) -> SignedSurprise:
        """The same, from its JSON."""
        signed = cls(int(state["delay"]))
        signed._up = TailMemory.from_state(state["up"])
        signed._down = TailMemory.from_state(state["down"])
        signed._waiting.extend(state["waiting"])
        return signed
