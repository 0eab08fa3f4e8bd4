"""A shop's traffic as a pure function of seed and time, with the anomalies that were put into it.

`Scenario.rates_at` gives how many events of each type a second are to be expected; whoever produces the
events draws counts from it. `Scenario.truth` says what was put in and when. Nothing is kept between calls, so
live and historical traffic are the same function, and the same seed always gives the same shop.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

EVENT_TYPES = ("click", "add_to_cart", "checkout", "purchase")
TYPE_SHARES: Mapping[str, float] = {"click": 0.72, "add_to_cart": 0.18, "checkout": 0.07, "purchase": 0.03}

# Share of the day's mean by hour of a shop's local day: asleep at four, busiest after supper.
HOURLY_SHAPE = (
    *(0.46, 0.33, 0.26, 0.23, 0.22, 0.26, 0.40, 0.62, 0.85, 1.02, 1.12, 1.18),
    *(1.25, 1.22, 1.15, 1.12, 1.15, 1.25, 1.40, 1.62, 1.78, 1.72, 1.32, 0.82),
)
WEEKDAY_SHAPE = (1.02, 0.97, 0.95, 0.97, 1.00, 1.04, 1.05)  # Monday first
WEEKEND_DELAY_HOURS = 1.0  # Saturday and Sunday begin and end later
NOISE = ((37.0, 0.04), (11.0, 0.03))  # minutes between knots of slow random swings, and their size


class Kind(StrEnum):
    """The kinds of anomaly, each with a shape of its own in `Anomaly.factors_at`."""

    DROP_TO_ZERO = "drop_to_zero"
    SPIKE = "spike"
    CONVERSION_COLLAPSE = "conversion_collapse"
    SLOW_DRIFT = "slow_drift"
    LEVEL_SHIFT = "level_shift"
    BOT_CLICKS = "bot_clicks"
    TYPE_OUTAGE = "type_outage"


# How long an anomaly of a kind lasts, in minutes, from and to.
DURATIONS: Mapping[Kind, tuple[float, float]] = {
    Kind.DROP_TO_ZERO: (8, 30),
    Kind.SPIKE: (8, 25),
    Kind.CONVERSION_COLLAPSE: (30, 75),
    Kind.SLOW_DRIFT: (120, 200),
    Kind.LEVEL_SHIFT: (180, 360),
    Kind.BOT_CLICKS: (15, 60),
    Kind.TYPE_OUTAGE: (20, 60),
}
MAGNITUDES: Mapping[Kind, tuple[float, float]] = {
    Kind.DROP_TO_ZERO: (0.0, 0.0),
    Kind.SPIKE: (2.2, 4.0),
    Kind.CONVERSION_COLLAPSE: (0.02, 0.2),
    Kind.SLOW_DRIFT: (0.3, 0.5),
    Kind.LEVEL_SHIFT: (0.4, 0.6),
    Kind.BOT_CLICKS: (2.0, 5.0),
    Kind.TYPE_OUTAGE: (0.0, 0.0),
}


@dataclass(frozen=True)
class TruthInterval:
    """What was put into the traffic: from `start` until before `end`, and where it can be seen."""

    kind: str
    start: datetime
    end: datetime
    event_types: tuple[str, ...]
    metrics: tuple[str, ...]
    magnitude: float

    def as_json(self) -> dict[str, Any]:
        """The interval with its times as ISO 8601 in UTC: one line of a truth file."""
        return {**asdict(self), "start": _iso(self.start), "end": _iso(self.end)}


@dataclass(frozen=True)
class Anomaly:
    """One injected fault: what it does to each type's rate while it lasts."""

    kind: Kind
    start: datetime
    end: datetime
    magnitude: float
    event_types: tuple[str, ...]

    def factor_at(self, ts: datetime) -> float:
        """What the rates of `event_types` are multiplied with at a time; 1 outside the interval."""
        if not self.start <= ts < self.end:
            return 1.0
        if self.kind is not Kind.SLOW_DRIFT:
            return self.magnitude
        return 1.0 + (self.magnitude - 1.0) * ((ts - self.start) / (self.end - self.start))

    def truth(self) -> TruthInterval:
        """The interval, with the metrics in which it shows."""
        return TruthInterval(
            self.kind.value, self.start, self.end, self.event_types, _seen_in(self), self.magnitude
        )


@dataclass(frozen=True)
class Scenario:
    """A shop from `start` on: day, week, slow random swings, and the anomalies put into them.

    `events_per_second` is the mean over a week; `zone` is the shop's local time: the shape follows its clock
    through daylight-saving changes.
    """

    seed: int
    events_per_second: float
    anomalies: tuple[Anomaly, ...] = ()
    zone: tzinfo = UTC

    def rates_at(self, ts: datetime) -> dict[str, float]:
        """Expected events per second of each type at a time; never negative."""
        level = self.events_per_second * day_and_week(ts.astimezone(self.zone)) * self._swing(ts)
        rates = {name: level * share for name, share in TYPE_SHARES.items()}
        for anomaly in self.anomalies:
            factor = anomaly.factor_at(ts)
            if factor != 1.0:
                for name in anomaly.event_types:
                    rates[name] *= factor
        return rates

    def truth(self) -> list[TruthInterval]:
        """Every anomaly that was put in, by start."""
        return [anomaly.truth() for anomaly in sorted(self.anomalies, key=lambda one: one.start)]

    def _swing(self, ts: datetime) -> float:
        """Slow random swings around 1: random knots, joined smoothly."""
        minutes = ts.timestamp() / 60.0
        swing = 1.0
        for spacing, size in NOISE:
            knot, part = divmod(minutes / spacing, 1.0)
            smooth = part * part * (3.0 - 2.0 * part)
            before, after = (_normal(self.seed, spacing, int(knot) + step) for step in (0, 1))
            swing += size * (before + (after - before) * smooth)
        return max(swing, 0.05)


def scenario(
    name: str,
    *,
    seed: int,
    start: datetime,
    end: datetime,
    events_per_second: float,
    each: int = 1,
    lead: timedelta = timedelta(0),
    zone: tzinfo = UTC,
) -> Scenario:
    """A named scenario: a `Kind`, `calm` (no anomaly), or `mixed` (all kinds in turn).

    `each` anomalies of every kind lie between `start + lead` and `end`, each in a stretch of its own so that
    none overlap, with as much quiet after it as fits.

    Raises:
        ValueError: the name is unknown, or there is no room for that many anomalies.
    """
    if name not in SCENARIOS:
        raise ValueError(f"{name!r} is no scenario; there are {', '.join(SCENARIOS)}")
    kinds: Sequence[Kind] = () if name == "calm" else tuple(Kind) if name == "mixed" else (Kind(name),)
    dice = random.Random(f"{seed}:{name}")
    order = [kind for _ in range(each) for kind in dice.sample(kinds, len(kinds))]
    anomalies = _placed(order, dice, start + lead, end) if order else ()
    return Scenario(seed=seed, events_per_second=events_per_second, anomalies=anomalies, zone=zone)


SCENARIOS = ("calm", *(kind.value for kind in Kind), "mixed")


def day_and_week(local: datetime) -> float:
    """The shape of a shop's week at a local time; its mean over a week is 1 within a percent."""
    clock = local.hour + local.minute / 60.0 + local.second / 3600.0
    evening = min(
        max((clock - 18.0) / 6.0, 0.0), 1.0
    )  # the delay comes and goes over an evening, not at once
    weekend, tomorrow = (float(day % 7 >= 5) for day in (local.weekday(), local.weekday() + 1))
    hours = (clock - WEEKEND_DELAY_HOURS * (weekend + (tomorrow - weekend) * evening)) % 24.0
    whole = int(hours)
    part = hours - whole
    today = HOURLY_SHAPE[whole] * (1.0 - part) + HOURLY_SHAPE[(whole + 1) % 24] * part
    return today * WEEKDAY_SHAPE[local.weekday()] / _MEAN_SHAPE


_MEAN_SHAPE = (sum(HOURLY_SHAPE) / 24.0) * (sum(WEEKDAY_SHAPE) / 7.0)


def _placed(
    order: Sequence[Kind], dice: random.Random, start: datetime, end: datetime
) -> tuple[Anomaly, ...]:
    """The anomalies in their order, each at a random place in the first part of its own stretch."""
    stretch = (end - start) / len(order)
    anomalies = []
    for number, kind in enumerate(order):
        shortest, longest = DURATIONS[kind]
        lasts = timedelta(minutes=round(dice.uniform(shortest, longest)))
        if lasts > stretch:
            raise ValueError(
                f"no room for {len(order)} anomalies between {_iso(start)} and {_iso(end)}: {kind.value} "
                f"lasts {lasts}, each has {stretch}; ask for fewer or a longer time"
            )
        offset = stretch * number + (stretch - lasts) * dice.uniform(0.0, 0.5)
        begins = start + timedelta(minutes=round(offset / timedelta(minutes=1)))
        anomalies.append(_anomaly(kind, begins, begins + lasts, dice))
    return tuple(anomalies)


def _anomaly(kind: Kind, start: datetime, end: datetime, dice: random.Random) -> Anomaly:
    magnitude = round(dice.uniform(*MAGNITUDES[kind]), 3)
    if kind in (Kind.LEVEL_SHIFT, Kind.SLOW_DRIFT) and dice.random() < 0.5:
        magnitude = round(1.0 / magnitude, 3)  # as often up as down
    types: tuple[str, ...] = EVENT_TYPES
    if kind is Kind.CONVERSION_COLLAPSE:
        types = ("purchase",)
    elif kind is Kind.BOT_CLICKS:
        types = ("click",)
    elif kind is Kind.TYPE_OUTAGE:
        types = (dice.choice(("click", "add_to_cart", "purchase")),)
    return Anomaly(kind, start, end, magnitude, types)


def _seen_in(anomaly: Anomaly) -> tuple[str, ...]:
    if anomaly.event_types == EVENT_TYPES:
        return ("events_total", "events_purchase", "revenue")
    seen = {
        "click": ("events_total", "purchase_conversion", "add_to_cart_rate"),
        "add_to_cart": ("events_total", "add_to_cart_rate"),
        "checkout": ("events_total",),
        "purchase": ("events_purchase", "revenue", "purchase_conversion"),
    }
    return tuple(dict.fromkeys(name for kind in anomaly.event_types for name in seen[kind]))


def _normal(seed: int, spacing: float, knot: int) -> float:
    """A standard normal number that belongs to one knot: the same at every call, on every machine."""
    mixed = (seed * 0x9E3779B97F4A7C15 + int(spacing) * 0xBF58476D1CE4E5B9 + knot) & 0xFFFFFFFFFFFFFFFF
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of splitmix64
        mixed = ((mixed ^ (mixed >> 29)) * factor) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 32
    first, second = ((mixed >> 32) + 0.5) / 2**32, ((mixed & 0xFFFFFFFF) + 0.5) / 2**32
    return math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)


def _iso(ts: datetime) -> str:
    return ts.astimezone(UTC).isoformat().replace("+00:00", "Z")
