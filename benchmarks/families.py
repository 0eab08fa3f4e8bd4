"""Made-up series with labelled anomalies, broad enough to tune a general detector on.

Every family imitates how a kind of metric behaves (its noise, its shape, its harmless oddities) without using
any recorded data. `TUNING` families were looked at while the default rule was made, `HELD_OUT` only to report.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One labelled series: epoch seconds, values, and the row where each anomaly begins."""

    family: str
    seconds: Values
    values: Values
    anomalies: tuple[int, ...]

    def windows(self) -> list[tuple[int, int]]:
        """Rows of each labelled window: a tenth of the series, shared out and centred on the anomalies."""
        if not self.anomalies:
            return []
        half = max(int(len(self.values) * 0.1 / len(self.anomalies) / 2), 2)
        return [(max(at - half, 0), min(at + half, len(self.values) - 1)) for at in self.anomalies]


def _places(rng: Generator, n: int, count: int) -> list[int]:
    """Where anomalies begin: after the first fifth, apart from each other."""
    edges = np.linspace(0.22 * n, 0.95 * n, count + 1)
    return [int(rng.uniform(low, low + 0.8 * (high - low))) for low, high in itertools.pairwise(edges)]


def _ar(rng: Generator, n: int, phi: float, sd: float) -> Values:
    noise = rng.normal(0, sd * np.sqrt(1 - phi**2), n)
    out = np.empty(n)
    level = 0.0
    for row in range(n):
        level = phi * level + noise[row]
        out[row] = level
    return out


def _hours(seconds: Values) -> Values:
    return (seconds / 3600.0) % 24.0


def _weekday(seconds: Values) -> NDArray[np.int64]:
    return ((seconds // 86400).astype(np.int64) + 3) % 7


def _steps(n: int, step: float) -> Values:
    return 1_700_000_000.0 + np.arange(n) * step


def _count(rng: Generator) -> int:
    return int(rng.choice([1, 2, 2, 3]))


def cpu_idle(rng: Generator) -> Series:
    n = 4032
    values = 0.13 + np.abs(rng.normal(0, 0.004, n)) // 0.002 * 0.002
    harmless = rng.random(n) < 0.004
    values[harmless] += rng.exponential(0.05, harmless.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        kind = rng.integers(3)
        if kind == 0:
            values[at : at + rng.integers(1, 4)] += rng.uniform(0.8, 2.5)
        elif kind == 1:
            values[at : at + rng.integers(60, 400)] += rng.uniform(0.02, 0.5)
        else:
            rows = at + rng.integers(0, 60, 12)
            values[rows[rows < n]] += rng.uniform(0.3, 0.6, (rows < n).sum())
    return Series("cpu_idle", _steps(n, 300), values, tuple(places))


def cpu_busy(rng: Generator) -> Series:
    n = 4032
    values = 45 + _ar(rng, n, 0.97, 2.0) + rng.standard_t(4, n) * 1.8
    places = _places(rng, n, _count(rng))
    for at in places:
        kind = rng.integers(4)
        if kind == 0:
            values[at : at + rng.integers(1, 5)] += rng.uniform(20, 45)
        elif kind == 1:
            values[at : at + rng.integers(100, 600)] += rng.choice([-1, 1]) * rng.uniform(10, 25)
        elif kind == 2:
            values[at : at + rng.integers(3, 20)] *= rng.uniform(0.0, 0.5)
        else:
            length = rng.integers(40, 120)
            values[at : at + length] += rng.normal(0, 9, len(values[at : at + length]))
    return Series("cpu_busy", _steps(n, 300), np.clip(values, 0, 100), tuple(places))


def cpu_saturated(rng: Generator) -> Series:
    n = 4032
    values = 96 - np.abs(rng.normal(0, 1.5, n))
    dips = rng.random(n) < 0.015
    values[dips] -= rng.exponential(6, dips.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        if rng.random() < 0.5:
            values[at : at + rng.integers(2, 15)] -= rng.uniform(45, 80)
        else:
            values[at : at + rng.integers(50, 500)] -= rng.uniform(8, 40)
    return Series("cpu_saturated", _steps(n, 300), np.clip(values, 0, 100), tuple(places))


def disk_bursts(rng: Generator) -> Series:
    n = 4032
    on = rng.random(n) < rng.uniform(0.03, 0.2)
    values = np.where(on, rng.lognormal(13, 0.8, n), 0.0)
    places = _places(rng, n, _count(rng))
    for at in places:
        if rng.random() < 0.5:
            values[at : at + rng.integers(1, 4)] = values.max() * rng.uniform(1.8, 5)
        else:
            length = int(rng.integers(25, 90))
            burst = rng.lognormal(13.5, 0.6, length) * (rng.random(length) < 0.8)
            values[at : at + length] = burst[: len(values[at : at + length])]
    return Series("disk_bursts", _steps(n, 300), values, tuple(places))


def network(rng: Generator) -> Series:
    n = 4032
    seconds = _steps(n, 300)
    day = 0.35 * np.sin(2 * np.pi * (_hours(seconds) - 9) / 24)
    values = np.exp(11 + day + _ar(rng, n, 0.9, 0.25) + rng.normal(0, 0.25, n))
    spikes = rng.random(n) < 0.006
    values[spikes] *= rng.uniform(2, 5, spikes.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        kind = rng.integers(3)
        if kind == 0:
            values[at : at + rng.integers(2, 12)] *= rng.uniform(12, 40)
        elif kind == 1:
            values[at : at + rng.integers(20, 90)] = values[at] * 0.02
        else:
            values[at : at + rng.integers(150, 500)] *= rng.uniform(4, 8)
    return Series("network", seconds, values, tuple(places))


def requests(rng: Generator) -> Series:
    n = 4032
    seconds = _steps(n, 300)
    day = 60 + 45 * np.sin(2 * np.pi * (_hours(seconds) - 10) / 24)
    values = rng.negative_binomial(4, 4 / (4 + day)).astype(float)
    places = _places(rng, n, _count(rng))
    for at in places:
        kind = rng.integers(3)
        if kind == 0:
            values[at : at + rng.integers(1, 6)] += rng.uniform(500, 900)
        elif kind == 1:
            values[at : at + rng.integers(30, 150)] = 0
        else:
            values[at : at + rng.integers(60, 300)] *= rng.uniform(2.5, 4)
    return Series("requests", seconds, np.floor(values), tuple(places))


def scaling_group(rng: Generator) -> Series:
    n = 4600
    values = np.zeros(n)
    row = 0
    while row < n:
        length = int(rng.integers(200, 900))
        values[row : row + length] = rng.uniform(28, 38)
        row += length
    values += rng.normal(0, 1.2, n) + _ar(rng, n, 0.9, 1.0)
    places = _places(rng, n, _count(rng))
    for at in places:
        values[at : at + rng.integers(2, 140)] = rng.uniform(0, 6)
    return Series("scaling_group", _steps(n, 300), values, tuple(places))


def ad_price(rng: Generator) -> Series:
    n = 1640
    seconds = _steps(n, 3600)
    day = 0.15 * np.sin(2 * np.pi * (_hours(seconds) - 15) / 24)
    values = np.exp(-0.6 + day + _ar(rng, n, 0.8, 0.12) + rng.normal(0, 0.13, n))
    bumps = rng.random(n) < 0.01
    values[bumps] *= rng.uniform(1.3, 2.0, bumps.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        if rng.random() < 0.7:
            values[at : at + rng.integers(1, 6)] *= rng.uniform(3, 8)
        else:
            values[at : at + rng.integers(24, 96)] *= rng.uniform(1.6, 2.2)
    return Series("ad_price", seconds, values, tuple(places))


def room_temperature(rng: Generator) -> Series:
    n = 7200
    seconds = _steps(n, 3600)
    working = (_hours(seconds) > 8) & (_hours(seconds) < 18) & (_weekday(seconds) < 5)
    values = 71 + 2.0 * working + _ar(rng, n, 0.995, 2.0) + _ar(rng, n, 0.8, 0.8)
    gaps = rng.random(n) < 0.001
    seconds = seconds + np.cumsum(gaps * 3600.0 * rng.integers(2, 60, n))
    places = _places(rng, n, _count(rng))
    for at in places:
        length = int(rng.integers(20, 150))
        values[at : at + length] += rng.choice([-1, 1]) * rng.uniform(6, 11)
    return Series("room_temperature", seconds, values, tuple(places))


def machine_temperature(rng: Generator) -> Series:
    n = 15000
    values = 88 + _ar(rng, n, 0.999, 6.0) + _ar(rng, n, 0.9, 1.0)
    places = _places(rng, n, _count(rng))
    for at in places:
        depth = rng.uniform(25, 60)
        length = int(rng.integers(60, 300))
        ramp = np.concatenate([np.linspace(0.15, 1, length // 2), np.linspace(1, 0, length - length // 2)])
        values[at : at + length] -= depth * ramp[: len(values[at : at + length])]
    return Series("machine_temperature", _steps(n, 300), values, tuple(places))


def taxi_demand(rng: Generator) -> Series:
    n = 8000
    seconds = _steps(n, 1800)
    hours, weekday = _hours(seconds), _weekday(seconds)
    shape = 15000 + 8000 * np.sin(2 * np.pi * (hours - 11) / 24) + 3000 * np.sin(4 * np.pi * (hours - 4) / 24)
    weekend = weekday >= 5
    shape = np.where(weekend, shape + 2500 * np.cos(2 * np.pi * (hours - 1) / 24), shape)
    slow = 1 + _ar(rng, n, 0.999, 0.05)
    values = shape * slow * (1 + rng.normal(0, 0.03, n) + _ar(rng, n, 0.9, 0.03))
    places = _places(rng, n, int(rng.choice([2, 3, 4])))
    for at in places:
        kind = rng.integers(3)
        if kind == 0:  # a holiday: a day at half the demand
            values[at : at + 40] *= rng.uniform(0.45, 0.65)
        elif kind == 1:  # a festivity at night
            values[at : at + rng.integers(3, 10)] += rng.uniform(9000, 14000)
        else:  # a storm
            values[at : at + rng.integers(20, 50)] *= rng.uniform(0.05, 0.3)
    return Series("taxi_demand", seconds, np.floor(np.clip(values, 0, None)), tuple(places))


def keystrokes(rng: Generator) -> Series:
    n = 3500
    seconds = _steps(n, 300) + np.cumsum(np.where(rng.random(n) < 0.03, rng.uniform(0, 7200, n), 0.0))
    awake = (_hours(seconds) > 9) & (_hours(seconds) < 19) & (_weekday(seconds) < 5)
    busy = awake & (rng.random(n) < 0.35)
    values = np.where(busy, rng.gamma(2.0, 0.4, n), rng.choice([0.0, 0.0, 0.0, 0.05], n))
    places = _places(rng, n, _count(rng))
    for at in places:
        length = int(rng.integers(15, 90))
        scale = rng.uniform(1.5, 4)
        values[at : at + length] = rng.gamma(3.0, 0.4, len(values[at : at + length])) * scale
    return Series("keystrokes", seconds, values, tuple(places))


def occupancy(rng: Generator) -> Series:
    n = 2500
    seconds = 1_700_000_000.0 + np.cumsum(rng.choice([300.0, 300.0, 600.0, 900.0, 1500.0], n))
    hours = _hours(seconds)
    day = 6 + 7 * np.exp(-((hours - 8) ** 2) / 4) + 9 * np.exp(-((hours - 17) ** 2) / 6)
    day = np.where(_weekday(seconds) >= 5, 0.55 * day, day)
    values = day * rng.gamma(9.0, 1 / 9.0, n)
    odd = rng.random(n) < 0.003
    values[odd] += rng.uniform(4, 10, odd.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        length = int(rng.integers(3, 30))
        values[at : at + length] += rng.uniform(18, 40)
    return Series("occupancy", seconds, values, tuple(places))


def road_speed(rng: Generator) -> Series:
    n = 2500
    seconds = 1_700_000_000.0 + np.cumsum(rng.choice([300.0, 300.0, 600.0, 900.0], n))
    hours = _hours(seconds)
    rush = 8 * np.exp(-((hours - 17) ** 2) / 3) * (_weekday(seconds) < 5) * rng.uniform(0.3, 1.2, n)
    values = 68 - rush + rng.normal(0, 3.0, n)
    places = _places(rng, n, _count(rng))
    for at in places:
        length = int(rng.integers(4, 60))
        values[at : at + length] -= rng.uniform(22, 50)
    return Series("road_speed", seconds, np.clip(np.round(values), 0, 90), tuple(places))


def travel_time(rng: Generator) -> Series:
    n = 2200
    seconds = 1_700_000_000.0 + np.cumsum(rng.choice([300.0, 600.0, 600.0, 1200.0], n))
    values = 110 + 25 * np.exp(-((_hours(seconds) - 17) ** 2) / 3) + rng.gamma(2.0, 14.0, n)
    long = rng.random(n) < 0.012
    values[long] += rng.pareto(3.0, long.sum()) * 90 + 50
    places = _places(rng, n, _count(rng))
    for at in places:
        length = int(rng.integers(2, 25))
        values[at : at + length] += rng.uniform(500, 1500)
    return Series("travel_time", seconds, np.round(values), tuple(places))


def mentions(rng: Generator) -> Series:
    n = 12000
    seconds = _steps(n, 300)
    day = 1 + 0.7 * np.sin(2 * np.pi * (_hours(seconds) - 14) / 24)
    mean = rng.uniform(3, 40)
    rate = mean * day * np.exp(_ar(rng, n, 0.95, 0.25))
    values = rng.negative_binomial(3, 3 / (3 + rate)).astype(float)
    for at in rng.choice(n - 50, 14, replace=False):  # things that get talked about for a while
        values[at : at + 24] += np.floor(mean * rng.uniform(1, 4) * np.exp(-np.arange(24) / 5))
    places = _places(rng, n, int(rng.choice([2, 3, 4])))
    for at in places:
        height = mean * rng.uniform(15, 80)
        values[at : at + 60] += np.floor(height * np.exp(-np.arange(60) / rng.uniform(3, 20)))[: n - at]
    return Series("mentions", seconds, values, tuple(places))


def daily_pulse(rng: Generator) -> Series:
    n = 4032
    seconds = _steps(n, 300)
    hours = _hours(seconds)
    high = (hours >= 9) & (hours < 18)
    values = np.where(high, 80.0, 20.0) + rng.uniform(-2.5, 2.5, n)
    start = int(rng.integers(9, 13)) * 288
    begins = start + int(np.argmax(high[start:] & ~high[start - 1 : -1]))
    length = 9 * 12
    span = slice(begins, begins + length)
    noise = rng.uniform(-2.5, 2.5, length)
    kind = rng.integers(4)
    values[span] = (
        (np.full(length, 80.0) + 40, np.full(length, 45.0), np.full(length, 20.0), None)[kind] + noise
        if (kind < 3)
        else values[begins + 30]
    )
    return Series("daily_pulse", seconds, values, (begins + (0 if kind < 3 else 30),))


def spike_density(rng: Generator) -> Series:
    n = 4032
    values = rng.uniform(0, 0.5, n)
    row = 0
    at = _places(rng, n, 1)[0]
    while row < n:
        values[row] = rng.uniform(18, 22)
        row += int(rng.integers(4, 9) if at <= row < at + 150 else rng.integers(18, 40))
    return Series("spike_density", _steps(n, 300), values, (at,))


def cron_spikes(rng: Generator) -> Series:
    n = 4032
    values = 8 + _ar(rng, n, 0.6, 0.8)
    period = int(rng.choice([12, 36, 72, 144]))
    values[period // 2 :: period] += rng.uniform(40, 44, len(values[period // 2 :: period]))
    places = _places(rng, n, 1)
    for at in places:
        if rng.random() < 0.5:
            values[at : at + rng.integers(6, 40)] = 45 + rng.normal(0, 1, len(values[at : at + 40]))[0]
        else:
            values[at : at + rng.integers(1, 3)] += rng.uniform(90, 150)
    return Series("cron_spikes", _steps(n, 300), values, tuple(places))


def steady_machine(rng: Generator) -> Series:
    n = 4032
    values = np.full(n, 20.0)
    values[rng.random(n) < 0.002] += 0.5
    places = _places(rng, n, _count(rng))
    for at in places:
        values[at : at + rng.integers(1, 300)] += rng.choice([-1, 1]) * rng.uniform(2, 15)
    return Series("steady_machine", _steps(n, 300), values, tuple(places))


def stuck_sensor(rng: Generator) -> Series:
    n = 5000
    values = 30 + _ar(rng, n, 0.98, 3.0) + rng.normal(0, 0.6, n)
    places = _places(rng, n, _count(rng))
    for at in places:
        values[at : at + rng.integers(60, 250)] = values[at]
    return Series("stuck_sensor", _steps(n, 60), values, tuple(places))


def calm_noise(rng: Generator) -> Series:
    n = 4032
    seconds = _steps(n, 300)
    shape = rng.integers(4)
    values = rng.normal(50, 5, n)
    if shape == 1:
        values = np.where((_hours(seconds) >= 9) & (_hours(seconds) < 18), 80.0, 20.0) + rng.uniform(-3, 3, n)
    elif shape == 2:
        values = np.full(n, 45.0)
    elif shape == 3:
        values = 40 + 20 * np.sin(2 * np.pi * _hours(seconds) / 24) * rng.uniform(0.8, 1.2, n)
    return Series("calm_noise", seconds, values, ())


def latency(rng: Generator) -> Series:
    n = 4032
    values = 44 + _ar(rng, n, 0.7, 1.2) + rng.standard_t(3, n) * 0.8
    spikes = rng.random(n) < 0.004
    values[spikes] += rng.uniform(5, 18, spikes.sum())
    places = _places(rng, n, _count(rng))
    for at in places:
        if rng.random() < 0.6:
            values[at : at + rng.integers(1, 4)] += rng.choice([-1.0, 1.0]) * rng.uniform(28, 45)
        else:
            values[at : at + rng.integers(8, 40)] += rng.uniform(8, 20)
    return Series("latency", _steps(n, 300), np.clip(values, 0, None), tuple(places))


Family = Callable[[Generator], Series]
TUNING: tuple[Family, ...] = (
    *(cpu_idle, cpu_busy, network, requests, scaling_group, room_temperature, taxi_demand),
    *(occupancy, mentions, daily_pulse, steady_machine, calm_noise, stuck_sensor),
)
HELD_OUT: tuple[Family, ...] = (
    *(cpu_saturated, disk_bursts, ad_price, machine_temperature, keystrokes, road_speed),
    *(travel_time, spike_density, cron_spikes, latency),
)


def corpus(families: tuple[Family, ...], seeds: range) -> list[Series]:
    """Every family with every seed; the same call gives the same series."""
    return [
        family(np.random.default_rng([seed, number]))
        for number, family in enumerate(families)
        for seed in seeds
    ]
