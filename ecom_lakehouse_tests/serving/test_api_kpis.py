"""`/kpis` and `/kpis/latest`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold


def asked(api: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.content, parse_float=Decimal)


def refused(api: httpx.Client, path: str, **parameters: Any) -> dict[str, Any]:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_an_empty_gold_has_no_latest_minute(api: httpx.Client) -> None:
    latest = asked(api, "/kpis/latest")
    assert latest == {
        "window_start": None,
        "provisional": True,
        "data_as_of": None,
        "fresh": False,
        "data": [],
    }


def test_latest_is_the_newest_minute_with_every_metric_unit_and_formula(
    api: httpx.Client, gold: Gold
) -> None:
    gold.minute(NOON - MINUTE, events_total=9)
    gold.minute(NOON, events_total=5, events_click=4, events_purchase=1, revenue=Decimal("12.5000"))
    latest = asked(api, "/kpis/latest")
    assert latest["window_start"] == "2026-01-31T12:00:00Z"
    assert [row["metric"] for row in latest["data"]] == list(METRIC_NAMES)
    values = {row["metric"]: row["value"] for row in latest["data"]}
    assert values["revenue"] == Decimal("12.5000")
    assert values["purchase_conversion"] == Decimal("0.25")
    assert all(row["unit"] and row["formula"] for row in latest["data"])


def test_latest_gives_the_metrics_named_in_their_order(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    rows = asked(api, "/kpis/latest", metrics="aov,revenue")["data"]
    assert [row["metric"] for row in rows] == ["aov", "revenue"]


def test_a_producer_whose_clock_is_ahead_does_not_make_the_latest_minute(
    api: httpx.Client, gold: Gold
) -> None:
    gold.minute(NOON, events_total=5)
    gold.minute(datetime.now(UTC).replace(second=0, microsecond=0) + 4 * MINUTE, events_total=1)
    assert asked(api, "/kpis/latest")["window_start"] == "2026-01-31T12:00:00Z"


def test_latest_closed_leaves_out_minutes_that_may_still_grow(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    gold.minute(NOON + MINUTE, events_total=2)
    gold.reached(NOON + timedelta(seconds=70))
    newest, closed = asked(api, "/kpis/latest"), asked(api, "/kpis/latest", closed="true")
    assert (newest["window_start"], newest["provisional"]) == ("2026-01-31T12:01:00Z", True)
    assert (closed["window_start"], closed["provisional"]) == ("2026-01-31T12:00:00Z", False)


def test_a_minute_closes_when_the_grace_after_its_end_has_reached_gold(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    question = {"metric": "events_total", "from": NOON.isoformat(), "to": (NOON + MINUTE).isoformat()}
    gold.reached(NOON + timedelta(seconds=64.999))
    assert asked(api, "/kpis", **question)["data"][0]["provisional"] is True
    gold.reached(NOON + timedelta(seconds=65))
    assert asked(api, "/kpis", **question)["data"][0]["provisional"] is False


def test_freshness_is_an_answer_not_an_error(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    gold.reached(NOON)
    assert asked(api, "/kpis/latest")["fresh"] is False
    gold.reached(datetime.now(UTC))
    assert asked(api, "/kpis/latest")["fresh"] is True


def test_a_minute_without_rows_is_there_and_is_not_zero(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=0)
    gold.minute(NOON + 2 * MINUTE, events_total=7)
    rows = asked(
        api, "/kpis", metric="events_total", **{"from": "2026-01-31T12:00Z", "to": "2026-01-31T12:03Z"}
    )
    assert [(row["value"], row["has_data"], row["revision"]) for row in rows["data"]] == [
        (0, True, 1),
        (None, False, None),
        (7, True, 1),
    ]


def test_hours_add_up_and_their_ratios_come_from_the_sums(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_click=1, events_purchase=1, revenue=Decimal("10.0001"))
    gold.minute(NOON + 30 * MINUTE, events_click=9, events_purchase=2, revenue=Decimal("0.0002"))
    gold.minute(NOON + 60 * MINUTE, events_click=5)
    found = asked(
        api,
        "/kpis",
        metric="purchase_conversion,revenue,aov",
        step="hour",
        **{"from": "2026-01-31T12:10Z", "to": "2026-01-31T14:00Z"},
    )
    assert (found["from"], found["to"]) == ("2026-01-31T12:00:00Z", "2026-01-31T14:00:00Z")
    values = {(row["window_start"][11:13], row["metric"]): row["value"] for row in found["data"]}
    assert values == {
        ("12", "purchase_conversion"): Decimal("0.3"),
        ("12", "revenue"): Decimal("10.0003"),
        ("12", "aov"): Decimal("3.333433"),
        ("13", "purchase_conversion"): 0,
        ("13", "revenue"): 0,
        ("13", "aov"): 0,
    }


def test_a_day_is_a_utc_day(api: httpx.Client, gold: Gold) -> None:
    gold.minute(datetime(2026, 1, 30, 23, 59, tzinfo=UTC), events_total=1)
    gold.minute(datetime(2026, 1, 31, 0, 0, tzinfo=UTC), events_total=2)
    gold.minute(datetime(2026, 1, 31, 23, 59, tzinfo=UTC), events_total=4)
    rows = asked(
        api, "/kpis", metric="events_total", step="day", **{"from": "2026-01-30", "to": "2026-02-02"}
    )["data"]
    assert [row["value"] for row in rows] == [1, 6, None]
    assert [row["has_data"] for row in rows] == [True, True, False]


def test_an_hour_is_provisional_until_its_last_minute_is_closed(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=1)
    gold.reached(NOON + timedelta(minutes=59))
    question = {
        "metric": "events_total",
        "step": "hour",
        "from": "2026-01-31T12:00Z",
        "to": "2026-01-31T13:00Z",
    }
    assert asked(api, "/kpis", **question)["data"][0]["provisional"] is True
    gold.reached(NOON + timedelta(minutes=60, seconds=5))
    assert asked(api, "/kpis", **question)["data"][0]["provisional"] is False


def test_the_hours_kept_follow_every_change_of_the_minutes(gold: Gold) -> None:
    def differing() -> list[Any]:
        return gold.run(
            "select * from (select metric, date_bin('1 hour', window_start, 'epoch') as hour, sum(value) as total"
            " from serving.kpi_minute where metric = 'revenue' or metric like 'events%' group by 1, 2) m"
            " full join serving.kpi_hour h using (metric, hour) where m.total is distinct from h.total"
        ).fetchall()

    for number in range(90):
        gold.minute(NOON + number * MINUTE, events_total=number, revenue=Decimal(number) / 3)
    assert gold.run("select count(*) as hours from serving.kpi_hour").fetchone() == {"hours": 12}
    assert differing() == []
    gold.minute(NOON + 5 * MINUTE, events_total=1000)
    assert differing() == []
    gold.run("delete from serving.kpi_minute where window_start >= %s", NOON + 60 * MINUTE)
    assert gold.run("select count(*) as hours from serving.kpi_hour").fetchone() == {"hours": 6}
    assert differing() == []
    gold.run("truncate serving.kpi_minute")
    assert gold.run("select count(*) as hours from serving.kpi_hour").fetchone() == {"hours": 0}


def test_money_keeps_every_digit(api: httpx.Client, gold: Gold) -> None:
    exact = Decimal("12345678901234567890.1234")
    gold.minute(NOON, events_purchase=3, revenue=exact)
    assert asked(api, "/kpis/latest", metrics="revenue")["data"][0]["value"] == exact
    hourly = asked(
        api,
        "/kpis",
        metric="revenue",
        step="hour",
        **{"from": "2026-01-31T12:00Z", "to": "2026-01-31T13:00Z"},
    )
    assert hourly["data"][0]["value"] == exact


def test_pages_are_the_whole_range_once_while_data_arrives(api: httpx.Client, gold: Gold) -> None:
    for number in range(0, 50, 2):
        gold.minute(NOON + number * MINUTE, events_total=number)
    question: dict[str, Any] = {
        "metric": ["events_total", "revenue"],
        "from": NOON.isoformat(),
        "to": (NOON + 50 * MINUTE).isoformat(),
        "limit": 14,
    }
    windows, cursor = [], None
    while True:
        page = asked(api, "/kpis", **question, **({"cursor": cursor} if cursor else {}))
        windows += [(row["window_start"], row["metric"]) for row in page["data"]]
        assert len(page["data"]) <= 14
        gold.minute(NOON + (len(windows) % 50) * MINUTE, events_total=1)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    expected = [NOON + number * MINUTE for number in range(50)]
    assert windows == [
        (f"{window:%Y-%m-%dT%H:%M:%SZ}", metric)
        for window in expected
        for metric in ("events_total", "revenue")
    ]


def test_an_open_range_keeps_its_end_over_its_pages(api: httpx.Client) -> None:
    first = asked(api, "/kpis", metric="revenue", limit=100)
    second = asked(api, "/kpis", metric="revenue", limit=100, cursor=first["next_cursor"])
    assert (first["from"], first["to"]) == (second["from"], second["to"])
    assert len(first["data"]) + len(second["data"]) == 180


def test_a_cursor_belongs_to_its_question_and_to_nothing_else(api: httpx.Client) -> None:
    cursor = asked(api, "/kpis", metric="revenue", limit=10)["next_cursor"]
    assert refused(api, "/kpis", metric="aov", limit=10, cursor=cursor)["errors"][0]["parameter"] == "cursor"
    assert refused(api, "/kpis", metric="revenue", cursor=cursor[:-4])["errors"][0]["parameter"] == "cursor"
    assert refused(api, "/kpis", metric="revenue", cursor="bm9uc2Vuc2U")["errors"][0]["parameter"] == "cursor"


def test_several_metrics_may_be_repeated_or_listed(api: httpx.Client) -> None:
    window = {"from": "2026-01-31T12:00Z", "to": "2026-01-31T12:01Z"}
    repeated = asked(api, "/kpis", metric=["aov", "revenue"], **window)["data"]
    assert repeated == asked(api, "/kpis", metric="aov,revenue", **window)["data"]
    assert [row["metric"] for row in repeated] == ["aov", "revenue"]


@pytest.mark.parametrize(
    "moment",
    ["2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00", "2026-01-31T14:00:00 02:00", "2026-01-31T12:00"],
)
def test_times_are_read_with_any_offset_and_as_utc_without(api: httpx.Client, moment: str) -> None:
    assert asked(api, "/kpis", metric="aov", to="2026-01-31T12:30Z", **{"from": moment})["from"] == (
        "2026-01-31T12:00:00Z"
    )


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"metric": "revenu"}, "metric"),
        ({"metric": ""}, "metric"),
        ({"metrics": "revenue"}, "metrics"),
        ({"step": "week"}, "step"),
        ({"step": ["hour", "day"]}, "step"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "1600000000"}, "from"),
        ({"from": "2026-01-31T25:00Z"}, "from"),
        ({"from": "2026-01-31T12:00Z", "to": "2026-01-31T12:00Z"}, "to"),
        ({"from": "2025-01-01", "to": "2026-01-01"}, "from"),
        ({"from": "2024-01-01", "to": "2026-01-01", "step": "hour"}, "from"),
        ({"limit": "0"}, "limit"),
        ({"limit": "20001"}, "limit"),
        ({"limit": "1e3"}, "limit"),
        ({"cursor": "a" * 501}, "cursor"),
        ({"cursor": "' or 1=1 --"}, "cursor"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_to_do(
    api: httpx.Client, parameters: dict[str, Any], wrong: str
) -> None:
    problem = refused(api, "/kpis", **parameters)
    assert [error["parameter"] for error in problem["errors"]] == [wrong]
    assert problem["type"] == "urn:ecom-lakehouse:problem:bad-request"
    assert problem["what_to_do"]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-18:00", "0001-01-01T00:00:00+18:00", "2199-12-31"])
def test_times_beyond_all_data_find_none(api: httpx.Client, moment: str) -> None:
    assert asked(api, "/quality/samples", hour=moment)["data"] == []


def test_the_short_form_and_v1_give_the_same(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    assert asked(api, "/kpis/latest") == asked(api, "/v1/kpis/latest")
