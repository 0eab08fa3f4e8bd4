"""Which column comes from which: derived from the table schemas, so that a new column appears by itself."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from ecom_lakehouse.core import schemas
from ecom_lakehouse.core.contract import FIELDS

_TYPED = [field.name for field in FIELDS]
_RAW = ["raw_json", "raw_value"]


def _from(asset: str, columns: list[str]) -> list[dg.TableColumnDep]:
    return [dg.TableColumnDep(asset_key=dg.AssetKey(asset), column_name=column) for column in columns]


def _lineage(columns: Mapping[str, list[dg.TableColumnDep]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(deps_by_column=dict(columns))


def _from_bronze(table: schemas.TableSchema) -> dg.TableColumnLineage:
    """Coordinates and slice are taken over; the typed fields and verdicts are parsed anew from the raw value."""
    bronze = set(schemas.BRONZE.column_names)
    deps = {}
    for column in table.column_names:
        if column in _TYPED or column == "validation_errors":
            deps[column] = _from("bronze_events", _RAW)
        elif column in bronze:
            deps[column] = _from("bronze_events", [column])
        elif column in ("event_date", "event_hour"):
            deps[column] = _from("bronze_events", _RAW)
    return _lineage(deps)


BRONZE = _lineage(
    {
        **{column: _from("kafka_topic", ["value"]) for column in (*_RAW, *_TYPED)},
        **{
            column: _from("kafka_topic", [source])
            for column, source in {
                "kafka_topic": "topic",
                "kafka_partition": "partition",
                "kafka_offset": "offset",
                "kafka_key": "key",
                "kafka_key_raw": "key",
                "kafka_timestamp": "timestamp",
                "kafka_headers": "headers",
            }.items()
        },
    }
)
SILVER = _from_bronze(schemas.SILVER)
QUARANTINE = _from_bronze(schemas.QUARANTINE)
KPI_MINUTE = _lineage(
    {
        "window_start": _from("silver_events", ["event_time"]),
        "value": _from("silver_events", ["event_type", "price", "quantity"]),
    }
)
