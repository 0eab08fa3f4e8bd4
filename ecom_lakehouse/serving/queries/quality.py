"""Quality by hour of ingestion: which rules were broken how often, from the ledger's counters."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ecom_lakehouse.serving.queries.connection import Connection, fetch

HOUR = timedelta(hours=1)
COUNTS = ("messages", "silver_rows", "quarantine_rows", "duplicate_rows", "late_rows")


@dataclass(frozen=True)
class BrokenSlices:
    """Where broken messages of one hour lie: the newest slices that hold enough of them."""

    hour: datetime
    rows: int
    slice_ids: list[int]


async def hours(connection: Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Rows by layer and hour of ingestion, for hours that have slices."""
    return await fetch(
        connection,
        """
        select planned_hour as hour, count(*) as slices,
               coalesce(sum(bronze_rows), 0)::bigint as messages,
               coalesce(sum(silver_rows), 0)::bigint as silver_rows,
               coalesce(sum(quarantine_rows), 0)::bigint as quarantine_rows,
               coalesce(sum(duplicate_rows), 0)::bigint as duplicate_rows,
               coalesce(sum(late_rows), 0)::bigint as late_rows,
               bool_or(next_layer is not null) as unfinished
        from lake.slices where planned_hour >= %(start)s and planned_hour < %(end)s
        group by planned_hour order by planned_hour
        """,
        start=start,
        end=end,
    )


async def broken(
    connection: Connection, start: datetime, end: datetime, rules: list[str]
) -> dict[datetime, list[dict[str, Any]]]:
    """Broken messages by hour and rule, the worst rule first, with the verdict of the rule's check on the hour.

    A message that breaks two rules counts under both.
    """
    rows = await fetch(
        connection,
        """
        select s.planned_hour as hour, r.code, sum(r.rows)::bigint as rows,
               case when c.passed then 'pass' else coalesce(c.severity, 'no_data') end as verdict
        from lake.slices s join lake.slice_rules r using (slice_id)
        left join lake.checks c on c.planned_hour = s.planned_hour and c.check_name = r.code
             and c.asset = 'quarantine_events'
        where s.planned_hour >= %(start)s and s.planned_hour < %(end)s and r.code = any(%(rules)s)
        group by s.planned_hour, r.code, c.passed, c.severity order by hour, rows desc, r.code
        """,
        start=start,
        end=end,
        rules=rules,
    )
    found: dict[datetime, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row.pop("hour")].append(row)
    return found


async def broken_slices(
    connection: Connection, rule: str | None, hour: datetime | None, limit: int
) -> BrokenSlices | None:
    """Where to find `limit` broken messages of an hour (the newest that has some, if none is named)."""
    rows = await fetch(
        connection,
        """
        with counted as (
            select s.planned_hour, s.slice_id, r.rows
            from lake.slices s join lake.slice_rules r using (slice_id)
            where %(rule)s::text is not null and r.code = %(rule)s
              and (%(hour)s::timestamptz is null or s.planned_hour = %(hour)s)
            union all
            select planned_hour, slice_id, quarantine_rows
            from lake.slices
            where %(rule)s::text is null and quarantine_rows > 0
              and (%(hour)s::timestamptz is null or planned_hour = %(hour)s)
        )
        select planned_hour, slice_id, rows from counted
        where planned_hour = (select max(planned_hour) from counted) order by slice_id desc
        """,
        rule=rule,
        hour=hour,
    )
    if not rows:
        return None
    chosen: list[int] = []
    covered = 0
    for row in rows:
        if covered >= limit:
            break
        chosen.append(row["slice_id"])
        covered += row["rows"]
    return BrokenSlices(rows[0]["planned_hour"], sum(row["rows"] for row in rows), chosen)
