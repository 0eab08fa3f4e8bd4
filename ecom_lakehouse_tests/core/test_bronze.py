"""Every message becomes a row of Bronze, whatever is in it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.bronze import NO_TIMESTAMP_TYPE, bronze_rows
from ecom_lakehouse.core.schemas import BRONZE
from ecom_lakehouse.core.slices import SliceStamp
from ecom_lakehouse_tests.core.frames import NOON, STAMP, Sent, encoded, kafka_messages, rows
from ecom_lakehouse_tests.core.vectors import VECTORS

pytestmark = pytest.mark.spark


def test_bronze_has_the_declared_columns_in_order(spark: SparkSession) -> None:
    frame = bronze_rows(kafka_messages(spark, [Sent(encoded())]), STAMP)
    assert [(field.name, field.dataType) for field in frame.schema] == [
        (column.name, column.spark_type) for column in BRONZE.columns
    ]


def test_every_message_comes_out_as_it_went_in(spark: SparkSession) -> None:
    found = rows(bronze_rows(kafka_messages(spark, [Sent(vector.value) for vector in VECTORS]), STAMP))
    for vector, row in zip(VECTORS, found, strict=True):
        text, raw = row["raw_json"], row["raw_value"]
        assert (raw if text is None else text.encode()) == vector.value, vector.name
        assert text is None or raw is None


def test_fields_are_typed_as_far_as_they_parse(spark: SparkSession) -> None:
    value = encoded(quantity="3", price=1.25, event_time="yesterday")
    row = rows(bronze_rows(kafka_messages(spark, [Sent(value)]), STAMP))[0]
    assert (row["quantity"], row["price"], row["event_time"]) == (None, Decimal("1.2500"), None)
    assert row["ingest_time"] == datetime(2026, 11, 22, 11, 59, 31, tzinfo=UTC)


def test_keys_and_headers_that_are_no_text_are_kept(spark: SparkSession) -> None:
    headers = [("a", b"\xff\x00"), ("a", None), ("b", b"")]
    sent = [
        Sent(encoded(), key=b"\xff", headers=headers),
        Sent(encoded(), key=None),
        Sent(encoded(), key=b""),
    ]
    found = rows(bronze_rows(kafka_messages(spark, sent), STAMP))
    assert [(row["kafka_key"], row["kafka_key_raw"]) for row in found] == [
        (None, b"\xff"),
        (None, None),
        ("", None),
    ]
    assert [(header["key"], header["value"]) for header in found[0]["kafka_headers"]] == headers
    assert found[1]["kafka_headers"] is None


def test_a_message_without_a_timestamp_gets_the_slices_time(spark: SparkSession) -> None:
    none_given = datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)  # -1 ms, as Spark's source gives it
    sent = [
        Sent(b"{}", timestamp=none_given, timestamp_type=NO_TIMESTAMP_TYPE),
        Sent(b"{}", timestamp=None),
        Sent(b"{}", timestamp=NOON - timedelta(microseconds=1)),
    ]
    found = rows(bronze_rows(kafka_messages(spark, sent), STAMP))
    assert [row["kafka_timestamp"] for row in found] == [
        STAMP.planned_at,
        STAMP.planned_at,
        NOON - timedelta(microseconds=1),
    ]


def test_the_slices_hour_is_written_in_utc(spark: SparkSession) -> None:
    abroad = SliceStamp(3, datetime(2026, 11, 22, 1, tzinfo=timezone(timedelta(hours=2))), NOON)
    row = rows(bronze_rows(kafka_messages(spark, [Sent(b"")]), abroad))[0]
    assert (row["slice_id"], row["ingest_date"], row["ingest_hour"]) == (3, date(2026, 11, 21), 23)


def test_the_first_and_last_times_there_are_survive_the_table(spark: SparkSession, tmp_path: Path) -> None:
    times = [
        "0001-01-01T00:00:00Z",
        "1582-10-10T00:00:00Z",
        "1899-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59.999999Z",
    ]
    sent = [Sent(encoded(event_time=time)) for time in times]
    path = str(tmp_path / "bronze")
    bronze_rows(kafka_messages(spark, sent), STAMP).write.format("delta").save(path)
    found = rows(spark.read.format("delta").load(path))
    assert [row["event_time"] for row in found] == [datetime.fromisoformat(time) for time in times]
