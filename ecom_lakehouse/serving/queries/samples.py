"""Broken messages, as they came, out of the Quarantine table."""

from __future__ import annotations

import base64
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ecom_lakehouse.serving.queries.quality import BrokenSlices

MOST_RAW_CHARACTERS = 4000
MOST_ROWS_LOOKED_AT = 200_000
BATCH_ROWS = 4096
COLUMNS = [
    "validation_errors",
    "raw_json",
    "raw_value",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "kafka_key",
    "kafka_timestamp",
    "event_id",
    "event_type",
    "source",
    "processing_time",
    "slice_id",
]


def samples(
    quarantine: ds.Dataset, where: BrokenSlices, rule: str | None, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` messages of those slices that break the rule, the newest slice first.

    Reads only the hour's partition and, of it, only files that may hold those slices; blocking, so call it on
    a thread.
    """
    condition = (
        (ds.field("ingest_date") == where.hour.date())
        & (ds.field("ingest_hour") == where.hour.hour)
        & ds.field("slice_id").isin(where.slice_ids)
    )
    found: list[dict[str, Any]] = []
    looked_at = 0
    for batch in quarantine.to_batches(columns=COLUMNS, filter=condition, batch_size=BATCH_ROWS):
        looked_at += batch.num_rows
        found.extend(_breaking(batch, rule).to_pylist())
        # Files come in no order: all that may be newer is read, but never without an end.
        if looked_at >= MOST_ROWS_LOOKED_AT:
            break
    found.sort(key=lambda row: (-row["slice_id"], row["kafka_partition"], row["kafka_offset"]))
    return [_view(row) for row in found[:limit]]


def _breaking(batch: pa.RecordBatch, rule: str | None) -> pa.RecordBatch:
    if rule is None:
        return batch
    errors = batch.column("validation_errors")
    rows = pc.list_parent_indices(errors).filter(pc.equal(pc.list_flatten(errors), rule))
    return batch.take(rows)


def _view(row: dict[str, Any]) -> dict[str, Any]:
    text, raw = row.pop("raw_json"), row.pop("raw_value")
    most_bytes = MOST_RAW_CHARACTERS * 3 // 4
    return {
        **row,
        "raw_json": None if text is None else text[:MOST_RAW_CHARACTERS],
        "raw_base64": None if raw is None else base64.b64encode(raw[:most_bytes]).decode(),
        "truncated": len(text or "") > MOST_RAW_CHARACTERS or len(raw or b"") > most_bytes,
    }
