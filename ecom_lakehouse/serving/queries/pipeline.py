"""The pipeline as its ledger tells it: lag, slices through the layers, what is held and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ecom_lakehouse.serving.queries.connection import Connection, fetch, fetch_one
from ecom_lakehouse.serving.queries.freshness import freshness
from ecom_lakehouse.settings import Settings

MOST_HELD = 50
MOST_CHECKS = 100
PARTITION_KEY = "%Y-%m-%d-%H:%M"

_SLICE = """
    slice_id, planned_at, planned_hour, state, attempts, last_error, held_reason, bronze_at, silver_at, gold_at,
    bronze_seconds, silver_seconds, gold_seconds, bronze_rows, silver_rows, quarantine_rows, duplicate_rows,
    late_rows, bronze_bytes, gold_minutes, run_id
"""


def partition_key(hour: datetime) -> str:
    """Dagster's name of an hourly partition."""
    return hour.astimezone(UTC).strftime(PARTITION_KEY)


def _slice(row: dict[str, Any], dagster_url: str) -> dict[str, Any]:
    return {
        "slice_id": row["slice_id"],
        "planned_at": row["planned_at"],
        "planned_hour": row["planned_hour"],
        "partition_key": partition_key(row["planned_hour"]),
        "state": row["state"],
        "attempts": row["attempts"],
        "last_error": row["last_error"],
        "held_reason": row["held_reason"],
        "bronze_at": row["bronze_at"],
        "silver_at": row["silver_at"],
        "gold_at": row["gold_at"],
        "seconds": {layer: row[f"{layer}_seconds"] for layer in ("bronze", "silver", "gold")},
        "rows": {
            layer: row[f"{layer}_rows"] for layer in ("bronze", "silver", "quarantine", "duplicate", "late")
        },
        "bronze_bytes": row["bronze_bytes"],
        "gold_minutes": row["gold_minutes"],
        "run_id": row["run_id"],
        "run_url": f"{dagster_url}/runs/{row['run_id']}" if row["run_id"] else None,
    }


async def lag(connection: Connection) -> dict[str, Any]:
    """Messages that Kafka holds and Gold does not: by the last look at the topic, and by the ledger."""
    partitions = await fetch(
        connection,
        """
        select kafka_partition, earliest_offset, end_offset, position,
               greatest(end_offset - position, 0) as waiting, looked_at
        from lake.topic_progress p
        where topic_id = (select topic_id from lake.topics order by adopted_at desc limit 1)
        order by kafka_partition
        """,
    )
    flying = await fetch_one(
        connection,
        """
        select coalesce(sum(r.end_offset - r.start_offset), 0)::bigint as messages
        from lake.slices s join lake.slice_ranges r using (slice_id) where s.gold_at is null
        """,
    )
    waiting = sum(row["waiting"] for row in partitions)
    looked_at = [row.pop("looked_at") for row in partitions]
    return {
        "messages": waiting + flying["messages"],
        "waiting": waiting,
        "in_flight": flying["messages"],
        "looked_at": max(looked_at, default=None),
        "partitions": partitions,
    }


async def slices_by_state(connection: Connection) -> dict[str, int]:
    """How many slices are in each state: those of the last 24 hours, and all that are unfinished."""
    rows = await fetch(
        connection,
        """
        select state, count(*) as slices from lake.slices
        where planned_hour > now() - interval '25 hours' and state = 'done' group by state
        union all
        select state, count(*) from lake.slices where next_layer is not null or held_reason is not null
        group by state
        """,
    )
    return {row["state"]: row["slices"] for row in rows}


async def failing_checks(connection: Connection, dagster_url: str) -> list[dict[str, Any]]:
    """Checks whose latest verdict on one of the last 24 hours is bad, the newest hour first."""
    rows = await fetch(
        connection,
        """
        select planned_hour, asset, check_name, severity, blocking, description, evaluated_at
        from lake.checks where not passed and planned_hour > now() - interval '25 hours'
        order by planned_hour desc, severity, asset, check_name limit %(limit)s
        """,
        limit=MOST_CHECKS,
    )
    return [
        {
            **row,
            "partition_key": partition_key(row["planned_hour"]),
            "url": f"{dagster_url}/assets/{row['asset']}?view=checks",
        }
        for row in rows
    ]


async def pipeline(connection: Connection, settings: Settings, limit: int) -> dict[str, Any]:
    """All that `/pipeline` says, with the newest `limit` slices."""
    dagster = settings.dagster_url
    fresh = await freshness(connection, settings)
    behind = await lag(connection)
    reached = fresh.reached_gold_at
    state = await fetch_one(
        connection,
        """
        select paused, blocked, (select max(window_start) from serving.kpi_minute) as newest_minute,
               (select count(distinct minute) from lake.dirty_minutes) as dirty_minutes,
               (select coalesce(sum(end_offset - start_offset), 0)::bigint from lake.lost_offsets) as lost_messages
        from serving.freshness
        """,
    )
    held = await fetch(
        connection,
        f"select {_SLICE} from lake.slices where held_reason is not null order by slice_id limit %(limit)s",
        limit=MOST_HELD,
    )
    newest = await fetch(
        connection, f"select {_SLICE} from lake.slices order by slice_id desc limit %(limit)s", limit=limit
    )
    return {
        "data_as_of": reached,
        "fresh": fresh.is_fresh,
        **state,
        "lag": {
            **behind,
            "seconds": round((fresh.asked_at - reached).total_seconds(), 3) if reached else None,
        },
        "slices_by_state": await slices_by_state(connection),
        "held": [_slice(row, dagster) for row in held],
        "slices": [_slice(row, dagster) for row in newest],
        "failing_checks": await failing_checks(connection, dagster),
        "dagster_url": dagster,
    }
