"""The pipeline in numbers, for a monitor that asks every few seconds."""

from __future__ import annotations

from dataclasses import dataclass

from ecom_lakehouse.core.rules import CODES
from ecom_lakehouse.serving.queries.connection import Connection, fetch, fetch_one
from ecom_lakehouse.serving.queries.freshness import freshness
from ecom_lakehouse.serving.queries.pipeline import lag, slices_by_state
from ecom_lakehouse.settings import Settings

LAYERS = ("bronze", "silver", "quarantine", "duplicate", "late")


@dataclass(frozen=True)
class Totals:
    """Ages are in seconds, None where there is nothing yet; rows are those of the last hour's slices."""

    lag_messages: int
    lag_seconds: float | None
    newest_kpi_age_seconds: float | None
    dirty_minutes: int
    lost_messages: int
    failing_checks: int
    slices: dict[str, int]
    alerts_open: dict[str, int]
    slice_seconds: dict[str, float]
    rows: dict[str, int]
    broken: dict[str, int]


async def totals(connection: Connection, settings: Settings) -> Totals:
    """All of it, now."""
    trust = await freshness(connection, settings)
    behind = await lag(connection)
    row = await fetch_one(
        connection,
        """
        select extract(epoch from now() - (select max(window_start) from serving.kpi_minute
                                           where window_start <= now()))::float8 as newest_age,
               (select count(distinct minute) from lake.dirty_minutes) as dirty_minutes,
               (select coalesce(sum(end_offset - start_offset), 0)::bigint from lake.lost_offsets) as lost,
               (select count(*) from lake.checks
                where not passed and planned_hour > now() - interval '25 hours') as failing
        """,
    )
    alerts = await fetch(
        connection,
        "select severity, count(*) as alerts from serving.alerts where state = 'open' group by severity",
    )
    newest = await fetch(
        connection,
        """
        select bronze_seconds as bronze, silver_seconds as silver, gold_seconds as gold from lake.slices
        where next_layer is null order by slice_id desc limit 1
        """,
    )
    rows = await fetch_one(
        connection,
        """
        select sum(bronze_rows) as bronze, sum(silver_rows) as silver, sum(quarantine_rows) as quarantine,
               sum(duplicate_rows) as duplicate, sum(late_rows) as late
        from lake.slices
        where planned_hour > now() - interval '2 hours' and planned_at > now() - interval '1 hour'
        """,
    )
    broken = await fetch(
        connection,
        """
        select code, sum(rows) as rows from lake.slices join lake.slice_rules using (slice_id)
        where planned_hour > now() - interval '2 hours' and planned_at > now() - interval '1 hour'
        group by code
        """,
    )
    reached = trust.reached_gold_at
    return Totals(
        lag_messages=behind["messages"],
        lag_seconds=(trust.asked_at - reached).total_seconds() if reached else None,
        newest_kpi_age_seconds=row["newest_age"],
        dirty_minutes=row["dirty_minutes"],
        lost_messages=row["lost"],
        failing_checks=row["failing"],
        slices=await slices_by_state(connection),
        alerts_open={"warn": 0, "critical": 0, **{r["severity"]: r["alerts"] for r in alerts}},
        slice_seconds={layer: s for layer, s in newest[0].items() if s is not None} if newest else {},
        rows={layer: int(rows[layer] or 0) for layer in LAYERS},
        broken={**dict.fromkeys(CODES, 0), **{r["code"]: int(r["rows"]) for r in broken}},
    )
