"""`/kpis/stream`: clients are told instead of asking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold, running_api, wait_until

Told = tuple[str, dict[str, Any], str]


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    quick = settings.model_copy(update={"api_stream_poll_seconds": 0.05, "api_stream_clients": 2})
    with running_api(quick) as client:
        yield client


@contextmanager
def listening(api: httpx.Client, last_event_id: str | None = None) -> Iterator[Iterator[Told]]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    with api.stream("GET", "/v1/kpis/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Told]:
    event: dict[str, str] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif event:
            yield event["event"], json.loads(event["data"]), event["id"]
            event = {}


def first(events: Iterator[Told], kind: str) -> Told:
    return next(event for event in events if event[0] == kind)


def test_a_listener_is_greeted_with_the_freshness_and_told_of_a_new_minute(
    api: httpx.Client, gold: Gold
) -> None:
    gold.reached(NOON)
    with listening(api) as events:
        kind, data, _ = next(events)
        assert (kind, data) == (
            "freshness",
            {"data_as_of": "2026-01-31T12:00:00Z", "fresh": False, "newest_minute": None},
        )
        gold.minute(NOON, events_total=5)
        _, minute, _ = first(events, "kpis")
        assert (minute["window_start"], minute["provisional"]) == ("2026-01-31T12:00:00Z", True)
        assert minute["values"]["events_total"] == 5
        assert len(minute["values"]) == 10


def test_a_minute_that_changes_is_told_again_and_one_that_does_not_is_not(
    api: httpx.Client, gold: Gold
) -> None:
    with listening(api) as events:
        next(events)
        gold.minute(NOON, events_total=5)
        assert first(events, "kpis")[1]["values"]["events_total"] == 5
        gold.minute(NOON, events_total=6)
        assert first(events, "kpis")[1]["values"]["events_total"] == 6


def test_alerts_are_told_when_opened_and_when_acknowledged(api: httpx.Client, gold: Gold) -> None:
    with listening(api) as events:
        next(events)
        gold.alert("a")
        assert first(events, "alert")[1]["acknowledged_by"] is None
        assert api.post("/alerts/a/acknowledge", json={"by": "ana"}).status_code == 200
        assert first(events, "alert")[1]["acknowledged_by"] == "ana"


def test_freshness_is_told_as_minutes_close(api: httpx.Client, gold: Gold) -> None:
    with listening(api) as events:
        next(events)
        gold.reached(NOON + MINUTE)
        closed = next(data for _, data, _ in events if data.get("data_as_of"))
        assert closed["data_as_of"] == "2026-01-31T12:01:00Z"


def test_who_comes_back_is_told_what_was_missed(api: httpx.Client, gold: Gold) -> None:
    with listening(api) as events:
        next(events)
        gold.minute(NOON, events_total=1)
        last_id = first(events, "kpis")[2]
    gold.minute(NOON + MINUTE, events_total=2)
    gold.alert("a")
    with listening(api, last_id) as events:
        missed = []
        for kind, data, _ in events:
            if kind == "freshness":
                break
            missed.append((kind, data.get("window_start")))
        assert ("kpis", "2026-01-31T12:01:00Z") in missed
        assert ("alert", "2026-01-31T12:00:00Z") in missed


def test_who_was_away_too_long_or_makes_up_an_id_is_told_to_read_anew(api: httpx.Client) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    for last_id in (str(int(old.timestamp() * 1_000_000)), "nonsense", "-1", "9" * 17):
        with listening(api, last_id) as events:
            kind = next(events)[0]
            assert kind == ("reset" if last_id != "9" * 17 else "freshness"), last_id


def test_a_flood_is_one_word_to_read_anew(api: httpx.Client, gold: Gold) -> None:
    with listening(api) as events:
        next(events)
        gold.run(
            "insert into serving.kpi_minute (window_start, metric, value)"
            " select timestamptz '2026-01-31 12:00Z' + n * interval '1 minute', 'revenue', 1"
            " from generate_series(1, 600) n"
        )
        assert first(events, "reset")
        gold.minute(NOON, events_total=1)
        _kind, data, _ = first(events, "kpis")
        assert data["values"]["events_total"] == 1


def test_places_are_bounded_and_given_back(api: httpx.Client) -> None:
    with listening(api) as one, listening(api) as two:
        next(one)
        next(two)
        refused = api.get("/kpis/stream")
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:ecom-lakehouse:problem:too-many-listeners"
        assert refused.headers["retry-after"]
    wait_until(lambda: "lakehouse_api_stream_listeners 0.0" in api.get("/metrics").text, "free places")


def test_a_connection_at_rest_is_kept_open_by_comments(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecom_lakehouse.serving.api.routes.stream.HEARTBEAT_SECONDS", 0.1)
    with running_api(settings) as api, api.stream("GET", "/kpis/stream") as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())
