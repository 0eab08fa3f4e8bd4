"""The form of the answers: validators for caches, compression, CSV, links."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold, wait_until

QUESTION = "/kpis?metric=revenue&from=2026-01-31T12:00Z&to=2026-01-31T12:02Z"


def test_an_unchanged_answer_is_a_bare_304_until_it_changes(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, revenue=1)
    first = api.get(QUESTION)
    again = api.get(QUESTION, headers={"If-None-Match": f'W/"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    gold.minute(NOON, revenue=2)
    changed = api.get(QUESTION, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.json()["data"][0]["value"] == 2


def test_a_minute_that_closes_changes_the_tag_though_no_value_did(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, revenue=1)
    first = api.get(QUESTION)
    gold.reached(NOON + 10 * MINUTE)
    assert api.get(QUESTION, headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_last_modified_is_said_once_its_second_has_passed(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, revenue=1, updated_at=datetime.now(UTC) - timedelta(minutes=1))
    modified = api.get(QUESTION).headers["last-modified"]
    assert api.get(QUESTION, headers={"If-Modified-Since": modified}).status_code == 304
    gold.minute(NOON, revenue=2, updated_at=datetime.now(UTC))
    assert api.get(QUESTION, headers={"If-Modified-Since": modified}).status_code == 200
    later = wait_until(lambda: api.get(QUESTION).headers.get("last-modified"), "a new Last-Modified")
    assert later != modified
    assert api.get(QUESTION, headers={"If-Modified-Since": later}).status_code == 304


@pytest.mark.parametrize("question", ["/kpis/latest", "/kpis?metric=revenue", "/quality"])
def test_an_answer_that_the_clock_changes_says_no_last_modified(
    api: httpx.Client, gold: Gold, question: str
) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    gold.minute(long_ago.replace(second=0, microsecond=0), revenue=1, updated_at=long_ago)
    gold.reached(long_ago)
    answer = api.get(question)
    assert "last-modified" not in answer.headers
    assert answer.headers["etag"]
    now = format_datetime(datetime.now(UTC), usegmt=True)
    assert api.get(question, headers={"If-Modified-Since": now}).status_code == 200


@pytest.mark.parametrize("since", ["nonsense", "Sat, 31 Jan 1970 99:00:00 GMT", ""])
def test_a_date_that_is_none_is_no_condition(api: httpx.Client, since: str) -> None:
    assert api.get(QUESTION, headers={"If-Modified-Since": since}).status_code == 200


def test_long_answers_are_compressed_for_who_takes_gzip(api: httpx.Client) -> None:
    plain = api.get("/kpis", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = api.get("/kpis", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.num_bytes_downloaded < plain.num_bytes_downloaded / 5
    assert "Accept-Encoding" in packed.headers["vary"]
    assert "Accept" in packed.headers["vary"]


def test_csv_is_given_to_who_likes_it_better(api: httpx.Client, gold: Gold) -> None:
    gold.minute(NOON, revenue=12)
    answer = api.get(QUESTION, headers={"Accept": "text/csv, application/json;q=0.5"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows[0] == {
        "window_start": "2026-01-31T12:00:00Z",
        "metric": "revenue",
        "value": "12",
        "has_data": "true",
        "provisional": "true",
        "revision": "1",
    }
    assert (rows[1]["value"], rows[1]["has_data"]) == ("", "false")


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/json", "text/csv;q=0.1, application/json", "text/csv;q=x", "text/*;q=0, */*"],
)
def test_json_is_given_to_everybody_else(api: httpx.Client, accept: str) -> None:
    assert api.get(QUESTION, headers={"Accept": accept}).headers["content-type"] == "application/json"


def test_every_list_can_be_had_as_csv(api: httpx.Client, gold: Gold) -> None:
    gold.alert("one")
    for path in ("/kpis/latest", "/alerts", "/alerts/latest", "/quality", "/quality/samples"):
        answer = api.get(path, headers={"Accept": "text/csv"})
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/csv"), path
        assert answer.text.splitlines()[0].count(",") > 3, path


def test_a_page_links_to_the_next(api: httpx.Client) -> None:
    first = api.get("/v1/kpis", params={"metric": "revenue", "limit": 100}, headers={"Accept": "text/csv"})
    link = first.links["next"]["url"]
    second = api.get(link, headers={"Accept": "text/csv"})
    assert second.status_code == 200
    assert "next" not in second.links
    assert len(first.text.splitlines()) + len(second.text.splitlines()) == 180 + 2


def test_head_is_answered_like_get_without_a_body(api: httpx.Client) -> None:
    answer = api.head("/kpis/latest")
    assert (answer.status_code, answer.content) == (200, b"")


def test_who_asks_after_a_change_sees_it_though_an_older_question_is_under_way(
    api: httpx.Client, gold: Gold
) -> None:
    gold.alert("a")
    with ThreadPoolExecutor(4) as clients:
        for _ in range(20):
            gold.run("update serving.alerts set acknowledged_at = null, acknowledged_by = null")
            reading = [clients.submit(httpx.get, f"{api.base_url}/alerts/a", timeout=20) for _ in range(4)]
            api.post("/alerts/a/acknowledge", json={"by": "ana"})
            assert api.get("/alerts/a").json()["acknowledged_by"] == "ana"
            assert {each.result().status_code for each in reading} == {200}
