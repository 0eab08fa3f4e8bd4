"""`/quality` from the ledger's counters, `/quality/samples` from a real Delta table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from ecom_lakehouse.core.rules import CODES
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.conftest import NOON, Gold, running_api

HOUR = timedelta(hours=1)
RANGE = {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T14:00:00Z"}


def counted(gold: Gold, planned_at: datetime, **rules: int) -> int:
    """A finished slice of 100 messages, broken as the rules say."""
    broken = max(rules.values(), default=0)
    number = gold.slice(
        planned_at,
        bronze_rows=100,
        silver_rows=95 - broken,
        quarantine_rows=broken,
        duplicate_rows=5,
        late_rows=2,
    )
    for code, rows in rules.items():
        gold.run(
            "insert into lake.slice_rules (slice_id, code, rows) values (%s, %s, %s)", number, code, rows
        )
    return number


def verdict(gold: Gold, hour: datetime, code: str, severity: str) -> None:
    gold.run(
        "insert into lake.checks (planned_hour, asset, check_name, passed, severity, blocking, description)"
        " values (%s, 'quarantine_events', %s, false, %s, false, '')",
        hour,
        code,
        severity,
    )


def test_hours_tell_what_became_of_their_messages_and_which_rules_they_broke(
    api: httpx.Client, gold: Gold
) -> None:
    counted(gold, NOON, malformed_json=4)
    counted(gold, NOON + timedelta(minutes=5), malformed_json=6, bad_event_time=1)
    verdict(gold, NOON, "malformed_json", "warn")
    gold.reached(NOON + 3 * HOUR)
    found = api.get("/quality", params=RANGE).json()
    noon, one = found["hours"]
    assert noon == {
        "hour": "2026-01-31T12:00:00Z",
        "has_data": True,
        "messages": 200,
        "silver_rows": 180,
        "quarantine_rows": 10,
        "duplicate_rows": 10,
        "late_rows": 4,
        "share_passing": 0.95,
        "provisional": False,
        "rules": [
            {"code": "malformed_json", "rows": 10, "share": 0.05, "verdict": "warn"},
            {"code": "bad_event_time", "rows": 1, "share": 0.005, "verdict": "no_data"},
        ],
    }
    assert (one["has_data"], one["share_passing"], one["rules"]) == (False, None, [])


def test_every_rule_is_explained_with_its_share_of_the_range(api: httpx.Client, gold: Gold) -> None:
    counted(gold, NOON, malformed_json=4)
    rules = api.get("/quality", params=RANGE).json()["rules"]
    assert [rule["code"] for rule in rules] == list(CODES)
    assert all(rule["meaning"] and rule["what_to_do"] for rule in rules)
    malformed = next(rule for rule in rules if rule["code"] == "malformed_json")
    assert (malformed["rows"], malformed["share"]) == (4, 0.04)
    (only,) = api.get("/quality", params={**RANGE, "rule": "bad_event_time"}).json()["rules"]
    assert (only["code"], only["rows"]) == ("bad_event_time", 0)


def test_a_tolerance_of_the_settings_is_the_one_shown(settings: Settings) -> None:
    changed = Settings(
        _env_file=None,
        api_postgres_url=settings.api_postgres_url,
        tolerances={"malformed_json": {"warn_above": 0.03}},
    )
    with running_api(changed) as api:
        (rule,) = api.get("/quality", params={"rule": "malformed_json"}).json()["rules"]
        assert rule["warn_above"] == 0.03


def test_an_hour_with_unfinished_slices_is_provisional(api: httpx.Client, gold: Gold) -> None:
    counted(gold, NOON)
    gold.slice(NOON + timedelta(minutes=1), state="bronze", bronze_rows=10)
    gold.reached(NOON + 3 * HOUR)
    assert api.get("/quality", params=RANGE).json()["hours"][0]["provisional"] is True


def test_quality_is_bounded_to_a_month(api: httpx.Client) -> None:
    assert api.get("/quality", params={"from": "2025-01-01", "to": "2025-02-02"}).status_code == 422


@pytest.fixture
def quarantine(settings: Settings) -> Any:
    """Writes broken messages into the real table."""
    table = Lake(settings).quarantine
    table.create_if_missing()

    def write(slice_id: int, hour: datetime, rows: list[dict[str, Any]]) -> None:
        filled = [
            {
                "kafka_topic": "events",
                "kafka_partition": 0,
                "kafka_offset": slice_id * 100 + number,
                "kafka_timestamp": hour,
                "processing_time": hour,
                "slice_id": slice_id,
                "ingest_date": hour.date(),
                "ingest_hour": hour.hour,
                **row,
            }
            for number, row in enumerate(rows)
        ]
        write_deltalake(table.uri, pa.Table.from_pylist(filled, schema=table.arrow_schema), mode="append")

    return write


def test_samples_are_the_broken_messages_as_they_came(api: httpx.Client, gold: Gold, quarantine: Any) -> None:
    number = counted(gold, NOON, malformed_json=2, bad_event_time=1)
    quarantine(
        number,
        NOON,
        [
            {"raw_json": '{"a":', "validation_errors": ["malformed_json"], "kafka_key": "user_0001"},
            {"raw_value": b"\xff\xfe", "validation_errors": ["malformed_json"]},
            {"raw_json": "{}", "validation_errors": ["missing_event_id", "bad_event_time"]},
        ],
    )
    found = api.get("/quality/samples", params={"rule": "malformed_json"}).json()
    assert (found["rule"], found["hour"], found["rows"]) == ("malformed_json", "2026-01-31T12:00:00Z", 2)
    text, raw = found["data"]
    assert (text["raw_json"], text["kafka_key"], text["kafka_offset"]) == ('{"a":', "user_0001", 100)
    assert (raw["raw_json"], raw["raw_base64"]) == (None, "//4=")
    both = api.get("/quality/samples", params={"rule": "bad_event_time"}).json()["data"]
    assert [row["validation_errors"] for row in both] == [["missing_event_id", "bad_event_time"]]
    assert len(api.get("/quality/samples").json()["data"]) == 3


def test_samples_come_from_the_newest_slices_and_are_cut_short(
    api: httpx.Client, gold: Gold, quarantine: Any
) -> None:
    for minute in range(3):
        number = counted(gold, NOON + timedelta(minutes=minute), malformed_json=5)
        quarantine(number, NOON, [{"raw_json": "x" * 5000, "validation_errors": ["malformed_json"]}] * 5)
    found = api.get("/quality/samples", params={"rule": "malformed_json", "limit": 7}).json()
    assert found["rows"] == 15
    assert [row["slice_id"] for row in found["data"]] in (
        [3] * 5 + [2] * 2,
        [3] * 4 + [2] * 3,
        [3] * 3 + [2] * 4,
        [3] * 2 + [2] * 5,
    )
    assert all(row["truncated"] and len(row["raw_json"]) == 4000 for row in found["data"])


def test_samples_open_no_file_of_another_hour_or_slice(
    api: httpx.Client, gold: Gold, quarantine: Any, settings: Settings
) -> None:
    for hour in range(3):
        number = counted(gold, NOON + hour * HOUR, malformed_json=1)
        quarantine(
            number, NOON + hour * HOUR, [{"raw_json": f"{hour}", "validation_errors": ["malformed_json"]}]
        )
    for file in Path(Lake(settings).quarantine.uri).rglob("*.parquet"):
        if "ingest_hour=13" not in str(file):
            file.write_bytes(b"nobody may open this")
    answer = api.get("/quality/samples", params={"hour": "2026-01-31T13:20:00Z"})
    assert [row["raw_json"] for row in answer.json()["data"]] == ["1"]


def test_without_a_table_or_without_broken_messages_there_are_no_samples(
    api: httpx.Client, gold: Gold
) -> None:
    assert api.get("/quality/samples").json() == {"rule": None, "hour": None, "rows": 0, "data": []}
    counted(gold, datetime.now(UTC), malformed_json=1)
    assert api.get("/quality/samples").json()["data"] == []
