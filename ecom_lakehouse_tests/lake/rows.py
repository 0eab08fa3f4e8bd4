"""Frames in the tables' columns, for tests of what stores them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from ecom_lakehouse.core.schemas import TableSchema

HOUR = datetime(2026, 1, 31, 12, tzinfo=UTC)


def stored_rows(
    spark: SparkSession,
    schema: TableSchema,
    slice_id: int,
    rows: int,
    *,
    hour: datetime = HOUR,
    first_offset: int = 0,
    event_hours: int = 1,
    raw_json: str = "{}",
) -> DataFrame:
    """`rows` rows of a slice, offsets of Kafka partition 0 upwards, their events spread over `event_hours`."""
    event_time = sf.lit(HOUR) - sf.make_interval(hours=sf.pmod(sf.col("id"), sf.lit(event_hours)).cast("int"))
    values = {
        "raw_json": sf.lit(raw_json),
        "validation_errors": sf.array(sf.lit("malformed_json")),
        "processing_time": sf.lit(hour + timedelta(minutes=1)),
        "kafka_topic": sf.lit("ecom.events.raw.v1"),
        "kafka_partition": sf.lit(0),
        "kafka_offset": sf.col("id") + first_offset,
        "kafka_timestamp": sf.lit(hour),
        "event_id": sf.concat(sf.lit(f"{slice_id}-"), sf.col("id").cast("string")),
        "event_version": sf.lit(1),
        "event_type": sf.lit("click"),
        "event_time": event_time,
        "ingest_time": event_time,
        "user_id": sf.lit("user_0001"),
        "session_id": sf.lit("a"),
        "slice_id": sf.lit(slice_id),
        "ingest_date": sf.lit(hour.date()),
        "ingest_hour": sf.lit(hour.hour),
        "event_date": event_time.cast("date"),
        "event_hour": sf.hour(event_time),
    }
    return spark.range(0, rows, 1, 2).select(
        *[
            values.get(column.name, sf.lit(None)).cast(column.spark_type).alias(column.name)
            for column in schema.columns
        ]
    )
