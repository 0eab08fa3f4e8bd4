"""Alerts: lists by keyset, one by its id, and the one thing that the API may change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ecom_lakehouse.serving.queries.connection import Connection, fetch, fetch_one

_COLUMNS = """
    alert_id, created_at, updated_at, window_start, last_window, metric,
    nullif(value, 'NaN') as value, nullif(baseline, 'NaN') as baseline, score, severity, state, rule_name,
    resolved_at, retracted_at, acknowledged_at, acknowledged_by, details
"""


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts; None is any. `start` and `end` bound the incident's minutes, `end` not included."""

    metrics: list[str] | None = None
    severity: str | None = None
    state: str | None = None
    start: datetime | None = None
    end: datetime | None = None


def _view(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "reason": _reason(row)}


def _reason(row: dict[str, Any]) -> str:
    said = row["details"].get("reason")
    if isinstance(said, str) and said:
        return said
    if row["value"] is None or row["baseline"] is None:
        return f"{row['metric']}: {row['rule_name']} fired"
    return f"{row['metric']} is {row['value']:f} where {row['baseline']:f} was expected"


async def alerts_page(
    connection: Connection, wanted: AlertFilter, limit: int, after: tuple[datetime, str] | None
) -> list[dict[str, Any]]:
    """At most `limit` alerts, the newest first, those after the keyset (created_at, alert_id)."""
    rows = await fetch(
        connection,
        f"""
        select {_COLUMNS} from serving.alerts
        where (%(metrics)s::text[] is null or metric = any(%(metrics)s))
          and (%(severity)s::text is null or severity = %(severity)s)
          and (%(state)s::text is null or state = %(state)s)
          and (%(start)s::timestamptz is null or last_window >= %(start)s)
          and (%(end)s::timestamptz is null or window_start < %(end)s)
          and (%(after_time)s::timestamptz is null
               or created_at < %(after_time)s
               or (created_at = %(after_time)s and alert_id > %(after_id)s))
        order by created_at desc, alert_id
        limit %(limit)s
        """,
        metrics=wanted.metrics,
        severity=wanted.severity,
        state=wanted.state,
        start=wanted.start,
        end=wanted.end,
        after_time=after[0] if after else None,
        after_id=after[1] if after else None,
        limit=limit,
    )
    return [_view(row) for row in rows]


async def open_alerts(connection: Connection) -> int:
    """How many alerts are open."""
    row = await fetch_one(connection, "select count(*) as open from serving.alerts where state = 'open'")
    return int(row["open"])


async def alert_by_id(connection: Connection, alert_id: str) -> dict[str, Any] | None:
    """One alert, or None."""
    rows = await fetch(
        connection, f"select {_COLUMNS} from serving.alerts where alert_id = %(alert_id)s", alert_id=alert_id
    )
    return _view(rows[0]) if rows else None


async def alerts_changed_since(
    connection: Connection, moment: datetime, limit: int
) -> list[tuple[datetime, dict[str, Any]]]:
    """Alerts opened, updated or acknowledged at or after a moment, with when, the oldest change first."""
    rows = await fetch(
        connection,
        f"""
        select {_COLUMNS}, greatest(updated_at, acknowledged_at) as changed_at from serving.alerts
        where updated_at >= %(moment)s or acknowledged_at >= %(moment)s
        order by changed_at, alert_id limit %(limit)s
        """,
        moment=moment,
        limit=limit,
    )
    return [(row.pop("changed_at"), _view(row)) for row in rows]


async def acknowledge(connection: Connection, alert_id: str, by: str) -> dict[str, Any] | None:
    """Notes who took the alert on, unless somebody did before; the alert then, or None if there is none."""
    async with connection.transaction():
        await connection.execute("set transaction read write")
        await connection.execute(
            """
            update serving.alerts set acknowledged_at = now(), acknowledged_by = %(by)s
            where alert_id = %(alert_id)s and acknowledged_at is null
            """,
            {"by": by, "alert_id": alert_id},
        )
        return await alert_by_id(connection, alert_id)
