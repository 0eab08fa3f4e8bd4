"""SQL over the lake's tables by delta-rs: answers in milliseconds, without an engine to start.

For checks and commands that count or show; what is written goes through the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import pyarrow as pa
from deltalake import QueryBuilder

from ecom_lakehouse.lake.tables import LakeTable

# Beyond this many event hours they are asked for by their range of days instead of one by one.
MOST_HOURS_LISTED = 100


def query(tables: Mapping[str, LakeTable], statement: str) -> pa.Table:
    """The answer to a SQL statement (DataFusion's dialect) over the tables by the names given."""
    builder = QueryBuilder()
    for name, table in tables.items():
        builder.register(name, table.delta())
    return pa.table(builder.execute(statement).read_all())


def text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def instant(value: datetime) -> str:
    """A moment as SQL writes it."""
    return f"timestamptz '{value.isoformat()}'"


def ingested_in(hour: datetime) -> str:
    """The condition for rows of one hour of ingestion."""
    return f"ingest_date = date '{hour:%Y-%m-%d}' and ingest_hour = {hour.hour}"


def in_event_hours(minutes: Iterable[datetime]) -> str:
    """The condition for rows of the event hours that these minutes lie in (their days, if those are many)."""
    hours = sorted({(minute.date(), minute.hour) for minute in minutes})
    if not hours:
        return "false"
    if len(hours) > MOST_HOURS_LISTED:
        return f"event_date between date '{hours[0][0]}' and date '{hours[-1][0]}'"
    return " or ".join(f"(event_date = date '{day}' and event_hour = {hour})" for day, hour in hours)


def in_slices(slice_ids: Iterable[int]) -> str:
    """The condition for rows of these slices."""
    listed = ", ".join(str(each) for each in slice_ids)
    return f"slice_id in ({listed})" if listed else "false"
