"""The default rule on a shop's KPIs: its day and week, few counts, clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from ecom_lakehouse.core.detection import Detector, Kind, Severity, detector
from ecom_lakehouse.core.scenarios import Scenario

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)


def counts_of(shop: Scenario, start: datetime, days: float, seed: int = 1) -> list[tuple[datetime, float]]:
    rng = np.random.default_rng(seed)
    return [
        (minute, float(rng.poisson(sum(shop.rates_at(minute).values()) * 60)))
        for minute in (start + number * MINUTE for number in range(int(days * 1440)))
    ]


def alarms(judge: Detector, series: list[tuple[datetime, float]], zone: ZoneInfo = BERLIN) -> list[datetime]:
    return [
        minute
        for minute, value in series
        if judge.observe(minute.astimezone(zone), value).severity is not Severity.NONE
    ]


def incidents(minutes: list[datetime]) -> int:
    return sum(1 for n, one in enumerate(minutes) if n == 0 or one - minutes[n - 1] > 30 * MINUTE)


def test_day_week_midnight_and_weekend_do_not_alarm() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    found = alarms(detector("surprise_v1", Kind.COUNT), counts_of(Scenario(4, 10.0), start, 10), UTC)
    assert incidents(found) <= 6  # in ten days, the first of which teach


def test_a_clock_change_moves_the_shape_with_the_shop() -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    series = counts_of(Scenario(4, 10.0, zone=BERLIN), change - timedelta(days=8), 11)
    found = [minute for minute in alarms(detector("surprise_v1", Kind.COUNT), series) if minute >= change]
    assert incidents(found) <= 1


def test_a_minute_without_a_purchase_is_no_news_where_one_comes_now_and_then() -> None:
    rng = np.random.default_rng(8)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    series = [(start + n * MINUTE, float(one)) for n, one in enumerate(rng.poisson(0.5, 4000))]
    assert incidents(alarms(detector("surprise_v1", Kind.COUNT), series)) <= 1


def test_the_same_fault_every_day_stays_a_surprise() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    series = counts_of(Scenario(2, 10.0), start, 10)

    def broken(minute: datetime) -> bool:
        return (minute - start).days >= 4 and minute.hour == 15 and minute.minute < 40

    found = alarms(
        detector("surprise_v1", Kind.COUNT),
        [(minute, 0.0 if broken(minute) else value) for minute, value in series],
    )
    for day in range(4, 10):
        assert any(broken(minute) and (minute - start).days == day for minute in found), day
