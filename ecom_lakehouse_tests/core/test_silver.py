"""Judging, splitting and deduplicating, on the real engine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from ecom_lakehouse.core.bronze import bronze_rows
from ecom_lakehouse.core.contract import FIELD_NAMES
from ecom_lakehouse.core.schemas import QUARANTINE, SILVER
from ecom_lakehouse.core.silver import Limits, candidates, deduplicate, judge, quarantine_rows
from ecom_lakehouse_tests.core import hostile
from ecom_lakehouse_tests.core.frames import NOON, STAMP, Sent, encoded, judged, kafka_messages, rows
from ecom_lakehouse_tests.core.reading import read
from ecom_lakehouse_tests.core.vectors import VECTORS

pytestmark = pytest.mark.spark

Accepted = Callable[..., DataFrame]


@pytest.fixture
def accepted(spark: SparkSession) -> Accepted:
    def frame(*event_ids: str) -> DataFrame:
        return spark.createDataFrame([(event_id,) for event_id in event_ids], "event_id string")

    return frame


def typed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in FIELD_NAMES}


def types(frame: DataFrame) -> list[tuple[str, str]]:
    return [(field.name, field.dataType.simpleString()) for field in frame.schema]


def test_the_vectors_end_as_they_say(spark: SparkSession) -> None:
    sent = [Sent(vector.value, vector.broker_time) for vector in VECTORS]
    frame = judged(spark, sent)
    quarantined = {row["kafka_offset"]: row for row in rows(quarantine_rows(frame, NOON))}
    silver = {row["kafka_offset"]: row for row in rows(candidates(frame))}
    for offset, vector in enumerate(VECTORS):
        assert (offset in silver, offset in quarantined) == (
            vector.layer == "silver",
            vector.layer != "silver",
        )
        row = silver.get(offset) or quarantined[offset]
        assert row.get("validation_errors", []) == vector.codes, vector.name
        assert typed(row) == vector.typed, vector.name


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=st.lists(hostile.values(), min_size=60, max_size=120))
def test_thousands_of_mutated_messages_are_judged_as_the_contract_says(
    spark: SparkSession, values: list[bytes | None]
) -> None:
    found = rows(judged(spark, [Sent(value) for value in values]))
    for value, row in zip(values, found, strict=True):
        assert (row["validation_errors"], typed(row)) == read(value, NOON)


def test_bronzes_typed_columns_are_not_believed(spark: SparkSession) -> None:
    bronze = bronze_rows(kafka_messages(spark, [Sent(encoded())]), STAMP)
    falsified = bronze.selectExpr(
        *(f"'x' as {name}" if name == "user_id" else name for name in bronze.columns)
    )
    assert [row["user_id"] for row in rows(judge(falsified, Limits()))] == ["user_0001"]


def test_quarantine_has_its_columns_and_keeps_the_raw_value(spark: SparkSession) -> None:
    broken = [
        Sent(b"\xff\xfe", key=b"\x80", headers=[("source", b"\x00")]),
        Sent(None),
        Sent(b" "),
        Sent(b'{"a":'),
    ]
    frame = quarantine_rows(judged(spark, broken), NOON)
    assert types(frame) == [(column.name, column.spark_type.simpleString()) for column in QUARANTINE.columns]
    found = rows(frame)
    assert [(row["raw_json"], row["raw_value"]) for row in found] == [
        (None, b"\xff\xfe"),
        (None, None),
        (" ", None),
        ('{"a":', None),
    ]
    assert (found[0]["kafka_key"], found[0]["kafka_key_raw"]) == (None, b"\x80")
    assert found[0]["kafka_headers"] == [{"key": "source", "value": b"\x00"}]
    assert found[0]["processing_time"] == NOON


def test_silver_has_its_columns_and_the_event_hour_in_utc(spark: SparkSession) -> None:
    frame = candidates(judged(spark, [Sent(encoded(event_time="2026-11-21T00:30:00+02:00"))]))
    assert types(frame) == [(column.name, column.spark_type.simpleString()) for column in SILVER.columns]
    row = rows(frame)[0]
    assert (row["event_date"], row["event_hour"]) == (date(2026, 11, 20), 22)
    assert (row["slice_id"], row["ingest_date"], row["ingest_hour"]) == (7, date(2026, 11, 22), 12)


@pytest.mark.parametrize(
    ("limits", "codes"),
    [(Limits(), ["event_time_in_future"]), (Limits(future=timedelta(minutes=6)), [])],
)
def test_the_limits_are_settings_and_met_exactly_is_kept(
    spark: SparkSession, limits: Limits, codes: list[str]
) -> None:
    later = [encoded(event_time=f"2026-11-22T12:05:00.{micros:06}Z") for micros in (0, 1)]
    bronze = bronze_rows(kafka_messages(spark, [Sent(value) for value in later]), STAMP)
    assert [row["validation_errors"] for row in rows(judge(bronze, limits))] == [[], codes]


def test_of_several_copies_the_lowest_partition_and_offset_is_kept(
    spark: SparkSession, accepted: Accepted
) -> None:
    places = [(2, 0), (1, 9), (1, 10), (2, 5)]
    sent = [Sent(encoded(event_id="a"), partition=place[0], offset=place[1]) for place in places]
    sent += [Sent(encoded(event_id="b"), partition=0, offset=1)]
    kept = rows(deduplicate(candidates(judged(spark, sent)), accepted()))
    assert [(row["event_id"], row["kafka_partition"], row["kafka_offset"]) for row in kept] == [
        ("b", 0, 1),
        ("a", 1, 9),
    ]


def test_an_id_that_another_slice_brought_is_not_taken_again(spark: SparkSession, accepted: Accepted) -> None:
    sent = [Sent(encoded(event_id=event_id)) for event_id in ("a", "b", "a")]
    frame = candidates(judged(spark, sent))
    assert [row["event_id"] for row in rows(deduplicate(frame, accepted("a", "a", "z")))] == ["b"]
    assert rows(deduplicate(frame, accepted("a", "b"))) == []


def test_an_invalid_copy_is_quarantined_and_makes_no_valid_one_a_duplicate(
    spark: SparkSession, accepted: Accepted
) -> None:
    frame = judged(spark, [Sent(encoded(event_id="a", user_id=None)), Sent(encoded(event_id="a"))])
    assert [row["kafka_offset"] for row in rows(quarantine_rows(frame, NOON))] == [0]
    assert [row["kafka_offset"] for row in rows(deduplicate(candidates(frame), accepted()))] == [1]


def test_an_invalid_message_is_quarantined_even_where_its_id_was_accepted(
    spark: SparkSession, accepted: Accepted
) -> None:
    frame = judged(spark, [Sent(encoded(event_id="a", user_id=None))])
    assert len(rows(quarantine_rows(frame, NOON))) == 1
    assert rows(deduplicate(candidates(frame), accepted("a"))) == []


def test_a_key_re_used_with_another_time_is_one_event_in_a_slice(
    spark: SparkSession, accepted: Accepted
) -> None:
    times = ["2026-11-22T11:59:00Z", "2026-11-21T11:59:00Z"]
    sent = [Sent(encoded(event_id="a", event_time=event_time)) for event_time in times]
    kept = rows(deduplicate(candidates(judged(spark, sent)), accepted()))
    assert [row["event_time"] for row in kept] == [datetime(2026, 11, 22, 11, 59, tzinfo=UTC)]


def test_no_messages_make_no_rows(spark: SparkSession, accepted: Accepted) -> None:
    frame = judged(spark, [Sent(None)]).where("kafka_offset < 0")
    assert rows(quarantine_rows(frame, NOON)) == rows(deduplicate(candidates(frame), accepted("a"))) == []
