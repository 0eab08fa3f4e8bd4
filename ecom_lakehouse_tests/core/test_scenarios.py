"""The shop's traffic as a function of seed and time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from ecom_lakehouse.core.scenarios import EVENT_TYPES, SCENARIOS, Kind, Scenario, scenario

START = datetime(2026, 1, 5, tzinfo=UTC)
WEEK = START + timedelta(days=7)


def made(name: str, seed: int = 1, each: int = 2) -> Scenario:
    return scenario(name, seed=seed, start=START, end=WEEK, events_per_second=20.0, each=each)


def test_the_mean_over_a_week_is_what_was_asked_for() -> None:
    shop = Scenario(5, 20.0)
    rates = [sum(shop.rates_at(START + timedelta(minutes=n)).values()) for n in range(0, 7 * 1440, 7)]
    assert sum(rates) / len(rates) == pytest.approx(20.0, rel=0.03)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_shop_and_another_seed_another(name: str) -> None:
    moment = START + timedelta(days=2, hours=11)
    assert made(name).truth() == made(name).truth()
    assert made(name).rates_at(moment) == made(name).rates_at(moment)
    assert made(name).rates_at(moment) != made(name, seed=2).rates_at(moment)


def test_rates_change_smoothly_but_for_the_anomalies() -> None:
    shop = made("calm")
    minutes = [sum(shop.rates_at(START + timedelta(minutes=n)).values()) for n in range(7 * 1440)]
    assert max(abs(b - a) / a for a, b in itertools.pairwise(minutes)) < 0.07


@pytest.mark.parametrize("kind", list(Kind))
def test_an_anomaly_changes_just_the_types_it_names_and_just_while_it_lasts(kind: Kind) -> None:
    shop, calm = made(kind.value), made("calm")
    for truth in shop.truth():
        late = truth.end - timedelta(seconds=1)
        for name in EVENT_TYPES:
            changed = shop.rates_at(late)[name] != calm.rates_at(late)[name]
            assert changed is (name in truth.event_types)
        assert shop.rates_at(truth.end) == calm.rates_at(truth.end)
        assert shop.rates_at(truth.start - timedelta(seconds=1)) == calm.rates_at(
            truth.start - timedelta(seconds=1)
        )


def test_mixed_holds_every_kind_and_none_overlap() -> None:
    truth = made("mixed", each=3).truth()
    assert sorted(one.kind for one in truth) == sorted(kind.value for kind in Kind for _ in range(3))
    assert all(a.end <= b.start for a, b in itertools.pairwise(truth))


def test_too_many_for_the_time_or_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for 100 anomalies"):
        scenario(
            "level_shift", seed=1, start=START, end=START + timedelta(days=1), events_per_second=1.0, each=100
        )
    with pytest.raises(ValueError, match="there are calm, drop_to_zero"):
        made("flood")
