"""`/kpis/bands`: what the detector expected of each minute."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold

RULE = "a_rule"


@pytest.fixture
def scored(gold: Gold) -> Gold:
    """Ten minutes of two metrics, scored; the first without an expectation."""
    gold.run(
        "insert into serving.detector_position (rule_name, first_minute, next_minute, alerts_from, parameters) "
        "values (%s, %s, %s, %s, '{}')",
        *(RULE, NOON, NOON + 10 * MINUTE, NOON),
    )
    for place in range(10):
        for metric in ("revenue", "events_total"):
            band = (100.0, 80.0, 120.0) if place else (None, None, None)
            gold.run(
                "insert into serving.scored_minutes (rule_name, metric, window_start, value, baseline, lower, upper, "
                "score, severity, reason) values (%s, %s, %s, %s, %s, %s, %s, 0.5, 'none', 'ordinary')",
                *(RULE, metric, NOON + place * MINUTE, 90 + place, *band),
            )
    return gold


def bands(api: httpx.Client, **parameters: Any) -> dict[str, Any]:
    answer = api.get(
        "/kpis/bands", params={"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T13:00:00Z"} | parameters
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_scored_minute_has_its_band_and_verdict(api: httpx.Client, scored: Gold) -> None:
    rows = bands(api, metric="revenue")["data"]
    assert len(rows) == 10
    assert rows[1] == {
        "window_start": "2026-01-31T12:01:00Z",
        "metric": "revenue",
        "value": 91,
        "baseline": 100.0,
        "lower": 80.0,
        "upper": 120.0,
        "score": 0.5,
        "severity": "none",
        "reason": "ordinary",
        "rule_name": RULE,
    }
    assert (rows[0]["baseline"], rows[0]["lower"], rows[0]["upper"]) == (None, None, None)


def test_pages_hold_every_verdict_once(api: httpx.Client, scored: Gold) -> None:
    whole = bands(api)["data"]
    answer = bands(api, limit=3)
    rows = answer["data"]
    while answer["next_cursor"]:
        answer = bands(api, limit=3, cursor=answer["next_cursor"])
        rows += answer["data"]
    assert rows == whole
    assert len(rows) == 20


def test_a_range_without_scores_is_empty_and_a_wrong_one_refused(api: httpx.Client, scored: Gold) -> None:
    assert bands(api, **{"from": "2026-01-31T10:00:00Z", "to": "2026-01-31T11:00:00Z"})["data"] == []
    assert api.get("/kpis/bands", params={"metric": "nonsense"}).status_code == 422
    assert api.get("/kpis/bands", params={"cursor": "abc"}).status_code == 422
