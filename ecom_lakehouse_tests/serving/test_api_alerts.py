"""`/alerts`: lists, one, acknowledging; and what the API's role may do to the database."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold


def ids(api: httpx.Client, **parameters: Any) -> list[str]:
    answer = api.get("/alerts", params=parameters)
    assert answer.status_code == 200, answer.text
    return [alert["alert_id"] for alert in answer.json()["data"]]


def test_alerts_are_filtered_by_metric_severity_state_and_range(api: httpx.Client, gold: Gold) -> None:
    gold.alert("a", metric="revenue", severity="critical", created_at=NOON)
    gold.alert("b", metric="events_total", state="resolved", created_at=NOON + MINUTE)
    gold.alert(
        "c",
        window_start=NOON + 10 * MINUTE,
        last_window=NOON + 20 * MINUTE,
        created_at=NOON + 20 * MINUTE,
    )
    assert ids(api) == ["c", "b", "a"]
    assert ids(api, metric="revenue") == ["c", "a"]
    assert ids(api, metric="revenue,events_total", severity="warn") == ["c", "b"]
    assert ids(api, severity="critical") == ["a"]
    assert ids(api, state="resolved") == ["b"]
    assert ids(api, metric="pipeline") == []
    assert ids(api, **{"from": (NOON + 15 * MINUTE).isoformat()}) == ["c"]
    assert ids(api, to=(NOON + 10 * MINUTE).isoformat()) == ["b", "a"]


def test_pages_of_alerts_are_stable_while_new_ones_come(api: httpx.Client, gold: Gold) -> None:
    for number in range(9):
        gold.alert(f"old-{number}", created_at=NOON)
    seen: list[str] = []
    question: dict[str, Any] = {"limit": 4}
    for number in range(3):
        page = api.get("/alerts", params=question).json()
        seen += [alert["alert_id"] for alert in page["data"]]
        gold.alert(f"new-{number}", created_at=NOON + MINUTE)
        question["cursor"] = page["next_cursor"]
    assert seen == [f"old-{number}" for number in range(9)]
    assert page["next_cursor"] is None


def test_a_cursor_with_a_forged_position_is_refused(api: httpx.Client, gold: Gold) -> None:
    for number in range(2):
        gold.alert(f"a{number}")
    cursor = api.get("/alerts", params={"limit": 1}).json()["next_cursor"]
    fingerprint = json.loads(base64.urlsafe_b64decode(cursor + "=="))[0]
    for position in (["2026-01-31T12:00:00Z", "a\x00"], ["2026-01-31T12:00:00", "a"], ["x", 7], None):
        forged = base64.urlsafe_b64encode(json.dumps([fingerprint, position]).encode()).rstrip(b"=").decode()
        assert api.get("/alerts", params={"limit": 1, "cursor": forged}).status_code == 422, position


def test_the_latest_alerts_come_with_the_number_of_open_ones(api: httpx.Client, gold: Gold) -> None:
    for number in range(5):
        gold.alert(f"a{number}", created_at=NOON + number * MINUTE, state="open" if number else "resolved")
    latest = api.get("/alerts/latest", params={"limit": 2}).json()
    assert latest["open"] == 4
    assert [alert["alert_id"] for alert in latest["data"]] == ["a4", "a3"]


def test_one_alert_says_why_in_a_sentence_and_how_to_check_it(api: httpx.Client, gold: Gold) -> None:
    gold.alert("said", details=Jsonb({"reason": "revenue fell off a cliff", "n": 180}))
    gold.alert("unsaid", value=3, baseline=120)
    gold.alert("silent", value=None, baseline=None, score=float("nan"))
    said = api.get("/alerts/said").json()
    assert (said["reason"], said["details"]["n"]) == ("revenue fell off a cliff", 180)
    assert api.get("/alerts/unsaid").json()["reason"] == "revenue is 3 where 120 was expected"
    silent = api.get("/alerts/silent").json()
    assert (silent["reason"], silent["score"]) == ("revenue: ewma_zscore_v1 fired", None)


def test_an_unknown_alert_is_a_404_that_says_where_to_look(api: httpx.Client) -> None:
    for answer in (api.get("/alerts/none"), api.post("/alerts/none/acknowledge", json={"by": "ana"})):
        assert answer.status_code == 404
        assert "GET /alerts" in answer.json()["what_to_do"]


def test_acknowledged_twice_is_acknowledged_once_by_the_first(api: httpx.Client, gold: Gold) -> None:
    gold.alert("a")
    first = api.post("/alerts/a/acknowledge", json={"by": " ana "})
    assert first.status_code == 200
    assert first.json()["acknowledged_by"] == "ana"
    assert first.json()["acknowledged_at"] is not None
    second = api.post("/alerts/a/acknowledge", json={"by": "ben"})
    assert second.status_code == 200
    assert second.json() == first.json() == api.get("/alerts/a").json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"by": ""}',
        b'{"by": "  "}',
        b'{"by": 7}',
        b'{"by": "a\\u0000"}',
        b"[",
        b'{"by":"a","x":1}',
        b"\x0e\xff",
    ],
)
def test_an_acknowledgement_by_nobody_is_refused(api: httpx.Client, gold: Gold, body: bytes) -> None:
    gold.alert("a")
    answer = api.post("/alerts/a/acknowledge", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert api.get("/alerts/a").json()["acknowledged_by"] is None


def test_the_role_of_the_api_may_acknowledge_and_change_nothing_else(settings: Settings, gold: Gold) -> None:
    gold.alert("a")
    with psycopg.connect(settings.api_postgres_url, autocommit=True) as connection:
        connection.execute("update serving.alerts set acknowledged_at = now(), acknowledged_by = 'ana'")
        for statement in (
            "update serving.alerts set severity = 'critical'",
            "delete from serving.alerts",
            "insert into serving.alerts (alert_id, window_start, last_window, metric, severity, rule_name)"
            " values ('b', now(), now(), 'm', 'warn', 'r')",
            "update serving.kpi_minute set value = 0",
            "delete from serving.kpi_hour",
            "truncate lake.slices",
            "update lake.looks set paused_by = 'me'",
            "create table serving.mine (x int)",
            "create table public.mine (x int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_an_alert_of_long_ago_is_still_found(api: httpx.Client, gold: Gold) -> None:
    gold.alert("old", created_at=NOON - timedelta(days=4000), window_start=NOON - timedelta(days=4000))
    assert ids(api) == ["old"]
