"""SQL over the lake's tables by delta-rs: answers in milliseconds, without an engine to start.

For checks and commands that count or show; what is written goes through the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime

import pyarrow as pa
from deltalake import QueryBuilder

from ecom_lakehouse.lake.tables import LakeTable


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
    """The condition for rows of the event hours that these minutes lie in: one term a day."""
    days: dict[date, set[int]] = {}
    for minute in minutes:
        days.setdefault(minute.date(), set()).add(minute.hour)
    if not days:
        return "false"
    terms = (
        f"event_date = date '{day}' and event_hour in ({', '.join(map(str, sorted(hours)))})"
        for day, hours in sorted(days.items())
    )
    return f"({' or '.join(f'({term})' for term in terms)})"


def in_slices(slice_ids: Iterable[int]) -> str:
    """The condition for rows of these slices."""
    listed = ", ".join(str(each) for each in slice_ids)
    return f"slice_id in ({listed})" if listed else "false"
