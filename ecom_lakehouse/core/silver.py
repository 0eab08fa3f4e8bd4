"""Bronze → Silver and Quarantine: judge every message by all rules, split, deduplicate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as sf
from pyspark.sql.types import StructField, StructType

from ecom_lakehouse.core.contract import Limits
from ecom_lakehouse.core.judgement import CODES_TYPE, judged_values
from ecom_lakehouse.core.schemas import (
    COORDINATES,
    DRIFT,
    QUARANTINE,
    RAW,
    SILVER,
    SLICE,
    TYPED_AS_FAR_AS_THEY_PARSE,
    VALIDATION_ERRORS,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Limits", "candidates", "deduplicate", "judge", "quarantine_rows"]

_JUDGED = (*RAW, *COORDINATES, *TYPED_AS_FAR_AS_THEY_PARSE, *SLICE, VALIDATION_ERRORS, DRIFT)
_JUDGED_STRUCT = StructType(
    [StructField(column.name, column.spark_type, column.nullable) for column in _JUDGED]
)
_FROM_BRONZE = [column.name for column in (*RAW, *COORDINATES, *SLICE)]


def judge(bronze: DataFrame, limits: Limits) -> DataFrame:
    """Bronze's rows, parsed anew from the raw value, with the codes of all rules that each breaks.

    Gives raw value, coordinates, typed fields, slice, `validation_errors` (empty: valid) and `drift` (what
    the contract doesn't know of it, null where nothing). Bronze's own typed columns are not read, so that a
    changed parser or rule applies when an hour is rebuilt.
    """

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _judged_batch(batch, limits)

    return bronze.select(*_FROM_BRONZE).mapInArrow(rows, _JUDGED_STRUCT)


def quarantine_rows(judged: DataFrame, processing_time: datetime) -> DataFrame:
    """The judged rows that break a rule, as rows of `QUARANTINE`."""
    broken = judged.where(sf.size("validation_errors") > 0)
    return broken.withColumn("processing_time", sf.lit(processing_time.astimezone(UTC))).select(
        *QUARANTINE.column_names
    )


def candidates(judged: DataFrame) -> DataFrame:
    """The judged rows that break no rule, as rows of `SILVER`; duplicates are still among them."""
    valid = judged.where(sf.size("validation_errors") == 0)
    return valid.withColumns(
        {"event_date": sf.to_date("event_time"), "event_hour": sf.hour("event_time")}
    ).select(*SILVER.column_names)


def deduplicate(candidates: DataFrame, accepted: DataFrame) -> DataFrame:
    """Each event_id once: the candidate of the lowest (kafka_partition, kafka_offset).

    Args:
        candidates: rows of `SILVER`, of one slice.
        accepted: one column, `event_id`: those that other slices brought; none of them is kept.
    """
    # Ranked by their ids alone, and only the later copies joined back: twice as fast as ranking whole rows.
    coordinates = ["kafka_partition", "kafka_offset"]
    order = Window.partitionBy("event_id").orderBy(*coordinates)
    ranked = candidates.select("event_id", *coordinates).withColumn("copy", sf.row_number().over(order))
    later_copies = ranked.where(sf.col("copy") > 1).select(*coordinates)
    return (
        candidates.join(later_copies, coordinates, "left_anti")
        .join(accepted.select("event_id"), "event_id", "left_anti")
        .select(*SILVER.column_names)
    )


def _judged_batch(bronze: pa.RecordBatch, limits: Limits) -> pa.RecordBatch:
    columns = {name: bronze[name] for name in _FROM_BRONZE}
    raw_json = columns["raw_json"].cast(pa.string())
    parsed, codes = judged_values(raw_json, columns["raw_value"], columns["kafka_timestamp"], limits)
    drift = pa.array([parsed.drift.get(row) for row in range(bronze.num_rows)], CODES_TYPE)
    columns |= {**parsed.columns, "validation_errors": codes, "drift": drift}
    names = [column.name for column in _JUDGED]
    return pa.RecordBatch.from_arrays([columns[name] for name in names], names)
