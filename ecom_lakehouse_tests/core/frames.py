"""Frames as Kafka and the lake give them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from ecom_lakehouse.core.bronze import bronze_rows
from ecom_lakehouse.core.silver import Limits, judge
from ecom_lakehouse.core.slices import SliceStamp

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = SliceStamp(slice_id=7, hour=NOON, planned_at=datetime(2026, 11, 22, 12, 5, tzinfo=UTC))

KAFKA = pa.schema(
    {
        "key": pa.binary(),
        "value": pa.binary(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "timestampType": pa.int32(),
        "headers": pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()})),
    }
)


@dataclass(frozen=True)
class Sent:
    """A message in Kafka; what is left out is what a broker with LogAppendTime gives."""

    value: bytes | None
    timestamp: datetime | None = NOON
    key: bytes | None = b"user_0001"
    partition: int = 0
    offset: int | None = None
    timestamp_type: int = 1
    headers: Sequence[tuple[str, bytes | None]] | None = None


def kafka_messages(spark: SparkSession, messages: Iterable[Sent]) -> DataFrame:
    """The messages as Spark's Kafka source gives them; offsets count up where none is said."""
    rows = [
        {
            "key": sent.key,
            "value": sent.value,
            "topic": "ecom.events.raw.v1",
            "partition": sent.partition,
            "offset": number if sent.offset is None else sent.offset,
            "timestamp": sent.timestamp,
            "timestampType": sent.timestamp_type,
            "headers": None
            if sent.headers is None
            else [{"key": key, "value": value} for key, value in sent.headers],
        }
        for number, sent in enumerate(messages)
    ]
    return spark.createDataFrame(pa.Table.from_pylist(rows, schema=KAFKA))


def judged(spark: SparkSession, messages: Iterable[Sent], stamp: SliceStamp = STAMP) -> DataFrame:
    """The messages taken into Bronze and judged by the default limits."""
    return judge(bronze_rows(kafka_messages(spark, messages), stamp), Limits())


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    """The frame's rows in the order of their coordinates, timestamps with their zone."""
    table = frame.toArrow()
    ordered = table.sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])
    found: list[dict[str, Any]] = ordered.to_pylist()
    return found


def event(**fields: Any) -> dict[str, Any]:
    """A purchase that breaks no rule at NOON, with some fields replaced; `...` leaves one out."""
    valid = {
        "event_id": "7d0f5a3e-1c1b-4c89-9a51-000000000001",
        "event_version": 1,
        "event_type": "purchase",
        "event_time": "2026-11-22T11:59:30.250Z",
        "ingest_time": "2026-11-22T11:59:31.000Z",
        "user_id": "user_0001",
        "session_id": "0b8e3c52-3a43-4a0e-8f4e-6f1d2c3b0001",
        "product_id": "sku_00042",
        "quantity": 2,
        "price": 19.99,
        "currency": "EUR",
        "order_id": "ord_0123456789",
        "source": "generator",
    }
    return {name: value for name, value in (valid | fields).items() if value is not ...}


def encoded(**fields: Any) -> bytes:
    """That event as a message's value."""
    return json.dumps(event(**fields)).encode()
