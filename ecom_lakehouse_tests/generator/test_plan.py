"""What a scenario run is to make, from what was asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ecom_lakehouse.core.scenarios import SCENARIOS
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.generator.plan import Plan, Span, plan
from ecom_lakehouse.settings import GeneratorSettings

NOW = datetime(2026, 3, 10, 12, 34, 56, tzinfo=UTC)
DAY = timedelta(days=1)


def span(
    days: float | None = None, since: datetime | None = None, until: datetime | None = None
) -> Span | None:
    return Span.of(NOW, historical_days=days, since=since, until=until)


def planned(name: str, past: Span | None = None, **settings: float) -> Plan:
    generator = GeneratorSettings(**settings)  # type: ignore[arg-type]
    return plan(name, generator, past, each=1, lead=timedelta(0), lasts=None)


def test_the_past_ends_now_and_has_whole_minutes() -> None:
    minute = NOW.replace(second=0)
    assert span(days=2) == Span(minute - 2 * DAY, minute)
    assert span(since=NOW - DAY) == Span(minute - DAY, minute)
    assert span(since=NOW - 2 * DAY, until=NOW - DAY) == Span(minute - 2 * DAY, minute - DAY)
    assert span() is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"until": NOW}, "no beginning"),
        ({"days": 1, "since": NOW - DAY}, "one of them"),
        ({"since": NOW, "until": NOW - DAY}, "begin before it ends"),
        ({"since": NOW - DAY, "until": NOW + DAY}, "end by now"),
    ],
)
def test_a_past_that_cannot_be_is_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        span(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_room_live_by_default(name: str) -> None:
    live = planned(name)
    assert live.end is None
    assert len(live.scenario.truth()) == {"calm": 0, "mixed": len(SCENARIOS) - 2}.get(name, 1)


def test_the_truth_lies_within_the_past_asked_for() -> None:
    past = span(days=7)
    assert past is not None
    lines = [json.loads(line) for line in planned("mixed", past).truth_lines().splitlines()]
    assert len(lines) == len(SCENARIOS) - 2
    for line in lines:
        assert (
            past.start
            <= datetime.fromisoformat(line["start"])
            < datetime.fromisoformat(line["end"])
            <= past.end
        )


def test_what_cannot_be_planned_is_refused_with_a_reason() -> None:
    with pytest.raises(SettingsError, match="no scenario; there are calm"):
        planned("nonsense")
    with pytest.raises(SettingsError, match="no room"):
        planned("level_shift", span(days=0.01))
    with pytest.raises(SettingsError, match="mean over a week"):
        planned("calm", events_per_sec=0)
