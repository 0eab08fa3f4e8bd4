"""Silver → Gold: every dirty minute computed anew, replaced in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
from pyspark.sql import functions as sf

from ecom_lakehouse.core.kpis import counts_by_minute, kpi_values
from ecom_lakehouse.lake.ledger import Slice
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import in_hours, minutes_of

Values = dict[str, Decimal]


@dataclass(frozen=True)
class GoldRefresh:
    """What a refresh changed: minutes looked at, values written, minutes that had lost their last row."""

    minutes: tuple[datetime, ...]
    values_changed: int
    minutes_deleted: int
    seconds: float


def refresh_gold(session: WriterSession, slices: Sequence[Slice]) -> GoldRefresh:
    """Computes every dirty minute from Silver, replaces it in Postgres, and marks the slices.

    In one transaction: the values that differ get the next revision, minutes left without rows go, the marks
    of dirty minutes are cleared, the slices are done.
    """
    started = time.monotonic()
    minutes = session.ledger.dirty_minutes()
    values = kpis_of(session, minutes)
    connection = session.ledger.connection
    session.right.require()
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            "create temp table fresh_kpis (window_start timestamptz, metric text, value numeric) on commit drop"
        )
        with cursor.copy("copy fresh_kpis from stdin") as copy:
            for minute, metrics in values.items():
                for metric, value in metrics.items():
                    copy.write_row((minute, metric, value))
        cursor.execute(
            "delete from serving.kpi_minute k where window_start = any(%s)"
            " and not exists (select from fresh_kpis f where f.window_start = k.window_start)",
            (minutes,),
        )
        deleted = cursor.rowcount
        cursor.execute(
            "insert into serving.kpi_minute (window_start, metric, value)"
            " select window_start, metric, value from fresh_kpis"
            " on conflict (window_start, metric) do update"
            " set value = excluded.value, revision = kpi_minute.revision + 1, updated_at = now()"
            " where kpi_minute.value is distinct from excluded.value"
        )
        changed = cursor.rowcount
        cursor.execute("delete from lake.dirty_minutes where minute = any(%s)", (minutes,))
        seconds = time.monotonic() - started
        session.ledger.mark_gold([each.slice_id for each in slices], len(minutes), seconds, session.run_id)
    return GoldRefresh(tuple(minutes), changed, deleted, seconds)


def mark_slice_dirty(session: WriterSession, slice_: Slice) -> None:
    """Notes every minute that a slice has rows in, so that the next refresh computes it anew."""
    rows = session.lake.silver.read(session.spark).where(sf.col("slice_id") == slice_.slice_id)
    session.ledger.mark_dirty(slice_.slice_id, minutes_of(rows))


def kpis_of(session: WriterSession, minutes: Sequence[datetime]) -> dict[datetime, Values]:
    """The KPIs of these minutes as Silver has them; minutes without rows are left out."""
    if not minutes:
        return {}
    wanted = set(minutes)
    rows = session.lake.silver.read(session.spark).where(in_hours(wanted))
    counts = counts_by_minute(rows).toArrow()
    starts = [each.replace(tzinfo=UTC) for each in counts["minute"].cast(pa.timestamp("us")).to_pylist()]
    return {
        start: kpi_values(row)
        for start, row in zip(starts, counts.drop(["minute"]).to_pylist(), strict=True)
        if start in wanted
    }
