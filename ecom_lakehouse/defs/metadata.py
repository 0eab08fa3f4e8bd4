"""What a person sees of an asset: its columns, and of each materialisation the rows, offsets, sizes and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from ecom_lakehouse.core.profile import Profile
from ecom_lakehouse.core.schemas import TableSchema
from ecom_lakehouse.defs import lineage
from ecom_lakehouse.lake.bronze import BronzeSlice
from ecom_lakehouse.lake.gold import GoldRefresh
from ecom_lakehouse.lake.ledger import Slice
from ecom_lakehouse.lake.quality.observed import profile_of_hour
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import SilverSlice
from ecom_lakehouse.lake.tables import LakeTable

SAMPLE_ROWS = 5
SAMPLE_TEXT = 120
TOP_VALUES = 4
Metadata = dict[str, Any]


def table_definition(schema: TableSchema, columns_from: dg.TableColumnLineage) -> Metadata:
    """What an asset's definition says of its table: columns with types and meaning, and where each comes from."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    name=column.name,
                    type=column.spark_type.simpleString(),
                    description=column.description,
                    constraints=dg.TableColumnConstraints(nullable=column.nullable),
                )
                for column in schema.columns
            ]
        ),
        "dagster/column_lineage": columns_from,
        "partitioned by": ", ".join(schema.partition_by),
    }


KPI_TABLE: Metadata = {
    "dagster/column_schema": dg.TableSchema(
        columns=[
            dg.TableColumn("window_start", "timestamptz", "The minute of event time, UTC."),
            dg.TableColumn("metric", "text", "The KPI's name; see docs/data_contract.md."),
            dg.TableColumn("value", "numeric", "Exact; ratios and aov to 6 places, half up."),
            dg.TableColumn("updated_at", "timestamptz", "When the value last changed."),
            dg.TableColumn("revision", "int", "How often it changed."),
        ]
    ),
    "dagster/column_lineage": lineage.KPI_MINUTE,
    "dagster/table_name": "analytics.serving.kpi_minute",
}


def of_bronze(session: WriterSession, hour: datetime, written: Sequence[BronzeSlice]) -> Metadata:
    """The Bronze slices of this run, and the hour so far."""
    return {
        **_hour_totals(session, hour, "bronze_rows"),
        "slices": _ids([each.slice for each in written]),
        "rows written": sum(each.rows for each in written),
        "bytes written": sum(each.bytes for each in written),
        "files written": sum(each.files for each in written),
        "offsets": _offset_table(written),
        "kept as stored (Kafka holds less)": ", ".join(
            str(each.slice.slice_id) for each in written if each.kept
        )
        or "none",
        "offsets lost": sum(lost.offsets for each in written for lost in each.lost),
        "lag (messages)": session.ledger.lag_messages(),
        "consumer group's offsets": written[-1].group_offsets if written else "unchanged",
        "seconds": round(sum(each.seconds for each in written), 3),
        **_sample(session, session.lake.bronze, [each.slice for each in written], "raw_json"),
        **_links(session, session.lake.bronze),
    }


def of_silver(session: WriterSession, hour: datetime, written: Sequence[SilverSlice]) -> Metadata:
    """The Silver slices of this run, and the hour so far."""
    return {
        **_hour_totals(session, hour, "silver_rows"),
        "slices": _ids([each.slice for each in written]),
        "rows written": sum(each.silver_rows for each in written),
        "duplicates left out": sum(each.duplicate_rows for each in written),
        "late events": sum(each.late_rows for each in written),
        "minutes touched": len({minute for each in written for minute in each.minutes}),
        "bytes written": sum(each.silver_bytes for each in written),
        "files written": sum(each.silver_files for each in written),
        "seconds": round(sum(each.seconds for each in written), 3),
        "profile of the hour so far": _profile(profile_of_hour(session.ledger, hour)),
        **_sample(session, session.lake.silver, [each.slice for each in written], "event_id"),
        **_links(session, session.lake.silver),
    }


def of_quarantine(session: WriterSession, hour: datetime, written: Sequence[SilverSlice]) -> Metadata:
    """The quarantined rows of this run's slices by rule, and the hour so far."""
    rules: dict[str, int] = {}
    for each in written:
        for code, rows in each.rules.items():
            rules[code] = rules.get(code, 0) + rows
    return {
        **_hour_totals(session, hour, "quarantine_rows"),
        "slices": _ids([each.slice for each in written]),
        "rows written": sum(each.quarantine_rows for each in written),
        "bytes written": sum(each.quarantine_bytes for each in written),
        "files written": sum(each.quarantine_files for each in written),
        "rows by rule": dg.MetadataValue.table(
            records=[dg.TableRecord({"rule": code, "rows": rows}) for code, rows in sorted(rules.items())],
            schema=_columns(rule="string", rows="int"),
        ),
        **_sample(session, session.lake.quarantine, [each.slice for each in written], "raw_json"),
        **_links(session, session.lake.quarantine),
    }


def of_gold(session: WriterSession, slices: Sequence[Slice], refreshed: GoldRefresh) -> Metadata:
    """The minutes that this run computed anew."""
    minutes = refreshed.minutes
    return {
        "slices": _ids(slices),
        "minutes computed": len(minutes),
        "values changed": refreshed.values_changed,
        "minutes deleted": refreshed.minutes_deleted,
        "oldest minute": f"{minutes[0]:%Y-%m-%d %H:%M}Z" if minutes else "none",
        "newest minute": f"{minutes[-1]:%Y-%m-%d %H:%M}Z" if minutes else "none",
        "seconds": round(refreshed.seconds, 3),
        "API": dg.MetadataValue.url(f"{session.settings.api_url}/kpis/latest"),
        "dashboard": dg.MetadataValue.url(session.settings.dashboard_url),
    }


def _hour_totals(session: WriterSession, hour: datetime, column: str) -> Metadata:
    totals = session.ledger.hour_totals(hour)
    return {"dagster/partition_row_count": totals[column], "slices of the hour so far": totals["slices"]}


def _ids(slices: Sequence[Slice]) -> str:
    return ", ".join(str(each.slice_id) for each in slices) or "none: nothing was left to do"


def _offset_table(written: Sequence[BronzeSlice]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "slice": each.slice.slice_id,
                    "kafka_partition": ranges.partition,
                    "start": ranges.start,
                    "end": ranges.end,
                }
            )
            for each in written
            for ranges in each.slice.ranges
        ],
        schema=_columns(slice="int", kafka_partition="int", start="int", end="int"),
    )


def _profile(profile: Profile) -> dg.TableMetadataValue:
    """Null shares, ranges and the most frequent values of the valid events' fields."""
    records = [
        dg.TableRecord(
            {
                "field": name,
                "null": f"{profile.null_share(name):.1%}",
                "least": _shown(each.least),
                "greatest": _shown(each.greatest),
                "frequent": _shown(
                    ", ".join(f"{value} {count:,}" for value, count in list(each.values.items())[:TOP_VALUES])
                ),
            }
        )
        for name, each in profile.fields.items()
    ]
    columns = dict.fromkeys(("field", "null", "least", "greatest", "frequent"), "string")
    return dg.MetadataValue.table(records, schema=_columns(**columns))


def _sample(session: WriterSession, table: LakeTable, slices: Sequence[Slice], shown: str) -> Metadata:
    """A few rows of the newest slice, long texts shortened."""
    if not slices:
        return {}
    columns = ["kafka_partition", "kafka_offset", "event_type", shown]
    rows = table.slice_arrow(slices[-1].slice_id, slices[-1].hour, columns, limit=SAMPLE_ROWS).to_pylist()
    records = [dg.TableRecord({name: _shown(value) for name, value in row.items()}) for row in rows]
    return {"sample": dg.MetadataValue.table(records, schema=_columns(**dict.fromkeys(columns, "string")))}


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= SAMPLE_TEXT else text[: SAMPLE_TEXT - 1] + "…"


def _links(session: WriterSession, table: LakeTable) -> Metadata:
    return {
        "table": dg.MetadataValue.path(table.uri),
        "API": dg.MetadataValue.url(f"{session.settings.api_url}/docs"),
    }


def _columns(**types: str) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name, type_) for name, type_ in types.items()])
