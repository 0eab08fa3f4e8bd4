"""Kafka messages → Bronze: every message as it came, with its fields typed as far as they parse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ecom_lakehouse.core.parse import TIMESTAMP_TYPE, parse_events, split_text
from ecom_lakehouse.core.schemas import BRONZE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from ecom_lakehouse.core.slices import SliceStamp

NO_TIMESTAMP_TYPE = -1
"""Kafka's `timestampType` of a message without a timestamp."""


def bronze_rows(messages: DataFrame, stamp: SliceStamp) -> DataFrame:
    """One row of `BRONZE` for each Kafka message, whatever is in it.

    Args:
        messages: the columns of Spark's Kafka source, headers included.
        stamp: the slice that brings them.
    """

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _bronze_batch(batch, stamp)

    return messages.mapInArrow(rows, BRONZE.struct)


def _bronze_batch(messages: pa.RecordBatch, stamp: SliceStamp) -> pa.RecordBatch:
    raw_json, raw_value = split_text(messages["value"])
    key, key_raw = split_text(messages["key"])
    hour = stamp.hour.astimezone(UTC)
    columns = {
        "raw_json": raw_json,
        "raw_value": raw_value,
        "kafka_topic": messages["topic"],
        "kafka_partition": messages["partition"],
        "kafka_offset": messages["offset"],
        "kafka_key": key,
        "kafka_key_raw": key_raw,
        "kafka_timestamp": _broker_timestamps(messages, stamp),
        "kafka_headers": messages["headers"],
        **parse_events(raw_json).columns,
        "slice_id": _constant(stamp.slice_id, pa.int64(), messages),
        "ingest_date": _constant(hour.date(), pa.date32(), messages),
        "ingest_hour": _constant(hour.hour, pa.int32(), messages),
    }
    names = BRONZE.column_names
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names)


def _broker_timestamps(messages: pa.RecordBatch, stamp: SliceStamp) -> pa.Array:
    times = messages["timestamp"].cast(TIMESTAMP_TYPE)
    has_one = pc.fill_null(pc.not_equal(messages["timestampType"], NO_TIMESTAMP_TYPE), True)
    return pc.fill_null(pc.if_else(has_one, times, None), pa.scalar(stamp.planned_at, TIMESTAMP_TYPE))


def _constant(value: object, arrow_type: pa.DataType, batch: pa.RecordBatch) -> pa.Array:
    return pa.repeat(pa.scalar(value, arrow_type), batch.num_rows)
