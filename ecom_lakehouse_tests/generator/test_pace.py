"""When events are due."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest

from ecom_lakehouse.core.scenarios import Anomaly, Kind, Scenario
from ecom_lakehouse.generator.pace import Pace, arrivals

MONDAY = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def test_twenty_a_second_come_fifty_milliseconds_apart() -> None:
    pace = Pace(20, started_at=100.0)
    times = []
    now = 100.0
    for _ in range(40):
        assert pace.due(now) == 1
        times.append(now)
        pace.take(1)
        now = pace.next_at()
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([0.05] * 39)


def test_a_short_delay_is_made_up_and_a_long_one_let_go() -> None:
    pace = Pace(20, started_at=0.0)
    assert pace.due(0.5) == 11
    pace.take(11)
    assert pace.due(60.0) == 1


def test_less_than_one_a_second_waits_its_time() -> None:
    pace = Pace(0.1, started_at=0.0)
    pace.take(pace.due(0.0))
    assert pace.due(9.9) == 0
    assert pace.next_at() == pytest.approx(10.0)
    assert pace.due(10.1) == 1


def test_arrivals_follow_the_scenarios_rates_in_order_within_its_time() -> None:
    shop = Scenario(seed=3, events_per_second=5)
    visits = list(arrivals(shop, MONDAY, MONDAY + timedelta(hours=2), seed=3))
    expected = sum(sum(shop.rates_at(MONDAY + timedelta(minutes=m)).values()) * 60 for m in range(120))
    assert len(visits) == pytest.approx(expected, rel=0.03)
    times = [visit.at for visit in visits]
    assert times == sorted(times)
    assert MONDAY.timestamp() <= times[0]
    assert times[-1] < (MONDAY + timedelta(hours=2)).timestamp()
    shares = Counter(visit.event_type for visit in visits)
    assert shares["click"] / len(visits) == pytest.approx(0.72, abs=0.01)


def test_an_outage_leaves_a_hole_in_the_arrivals() -> None:
    start, end = MONDAY + timedelta(minutes=10), MONDAY + timedelta(minutes=20)
    types = ("click", "add_to_cart", "checkout", "purchase")
    shop = Scenario(3, 20, anomalies=(Anomaly(Kind.DROP_TO_ZERO, start, end, 0.0, types),))
    times = [visit.at for visit in arrivals(shop, MONDAY, MONDAY + timedelta(minutes=30), seed=3)]
    assert not [at for at in times if start.timestamp() <= at < end.timestamp()]
    assert [at for at in times if at >= end.timestamp()]


def test_the_same_seed_gives_the_same_arrivals_and_live_ones_never_end() -> None:
    shop = Scenario(seed=3, events_per_second=5)
    one, two = (list(islice(arrivals(shop, MONDAY, None, seed=9), 5000)) for _ in range(2))
    assert one == two
