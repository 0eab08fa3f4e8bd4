"""KPIs of Gold: the newest minute, and ranges by minute, hour or day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ecom_lakehouse.core.kpis import RATIOS, SUMS, kpi_values
from ecom_lakehouse.serving.queries.connection import Connection, fetch, fetch_tuples
from ecom_lakehouse.serving.queries.freshness import Freshness

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Step:
    """A length of windows: its default range, its longest, and how many windows one page may add up."""

    length: timedelta
    default_range: timedelta
    longest_range: timedelta
    windows_a_page: int


STEPS = {
    "minute": Step(MINUTE, timedelta(hours=3), timedelta(days=31), 20_000),
    "hour": Step(timedelta(hours=1), timedelta(days=7), timedelta(days=366), 9_000),
    "day": Step(timedelta(days=1), timedelta(days=90), timedelta(days=1830), 2_000),
}


def window_of(moment: datetime, length: timedelta) -> datetime:
    """The first moment of the UTC window that holds a moment."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // length * length


async def newest_minute(connection: Connection, until: datetime) -> datetime | None:
    """The newest minute that starts at or before `until` and has data."""
    rows = await fetch(
        connection,
        "select max(window_start) as newest from serving.kpi_minute where window_start <= %(until)s",
        until=until,
    )
    newest: datetime | None = rows[0]["newest"]
    return newest


async def latest(
    connection: Connection, trust: Freshness, metrics: list[str], until: datetime
) -> list[dict[str, Any]]:
    """The metrics of the newest minute that starts at or before `until` and has data; nothing if none has."""
    rows = await fetch(
        connection,
        """
        select window_start, metric, value, revision from serving.kpi_minute
        where window_start = (select max(window_start) from serving.kpi_minute where window_start <= %(until)s)
        """,
        until=until,
    )
    if not rows:
        return []
    window = rows[0]["window_start"]
    found: Found = {(0, row["metric"]): (row["value"], row["revision"]) for row in rows}
    return _filled(trust, metrics, STEPS["minute"], window, window + MINUTE, found)


async def series(
    connection: Connection, trust: Freshness, metrics: list[str], step: Step, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Every window of [start, end) with every metric: its value, or that it has no data."""
    if step.length == MINUTE:
        found = await _minutes(connection, metrics, start, end)
    else:
        found = await _added_up(connection, metrics, step.length, start, end)
    return _filled(trust, metrics, step, start, end, found)


Found = dict[tuple[int, str], tuple[Decimal, int | None]]
"""Values and revisions by metric and by the window's number in the range; numbers are quicker than times."""


def _filled(
    trust: Freshness, metrics: list[str], step: Step, start: datetime, end: datetime, found: Found
) -> list[dict[str, Any]]:
    nothing = (None, None)
    rows = []
    for number in range((end - start) // step.length):
        window = start + number * step.length
        provisional = trust.is_provisional(window + step.length)
        for metric in metrics:
            value, revision = found.get((number, metric), nothing)
            rows.append(
                {
                    "window_start": window,
                    "metric": metric,
                    "value": value,
                    "has_data": value is not None,
                    "provisional": provisional,
                    "revision": revision,
                }
            )
    return rows


async def _minutes(connection: Connection, metrics: list[str], start: datetime, end: datetime) -> Found:
    rows = await fetch_tuples(
        connection,
        """
        select (extract(epoch from window_start - %(start)s) / 60)::int as number, metric, value, revision
        from serving.kpi_minute
        where metric = any(%(metrics)s) and window_start >= %(start)s and window_start < %(end)s
        """,
        metrics=metrics,
        start=start,
        end=end,
    )
    return {(number, metric): (value, revision) for number, metric, value, revision in rows}


async def _added_up(
    connection: Connection, metrics: list[str], length: timedelta, start: datetime, end: datetime
) -> Found:
    """Sums by window; ratios of those sums, never of ratios."""
    needed = sorted({part for metric in metrics for part in RATIOS.get(metric, (metric,))})
    rows = await fetch_tuples(
        connection,
        """
        select floor(extract(epoch from hour - %(start)s) / %(seconds)s)::int as number,
               metric, sum(total) as total
        from serving.kpi_hour
        where metric = any(%(needed)s) and hour >= %(start)s and hour < %(end)s
        group by 1, 2
        """,
        seconds=int(length.total_seconds()),
        needed=needed,
        start=start,
        end=end,
    )
    found: Found = {(number, metric): (total, None) for number, metric, total in rows}
    ratios = [metric for metric in metrics if metric in RATIOS]
    if ratios:
        for number in {number for number, _ in found}:
            sums = {name: found.get((number, name), (0, None))[0] for name in SUMS}
            values = kpi_values(sums)
            found.update({(number, metric): (values[metric], None) for metric in ratios})
    return found


async def minutes_changed_since(
    connection: Connection, moment: datetime, most: int
) -> list[tuple[datetime, datetime, dict[str, Decimal]]]:
    """Minutes written at or after a moment, at most `most`: when, which minute, all its values; oldest first."""
    rows = await fetch(
        connection,
        """
        with changed as (
            select window_start, max(updated_at) as changed_at from serving.kpi_minute
            where updated_at >= %(moment)s group by 1 order by 2, 1 limit %(most)s
        )
        select window_start, changed_at, metric, value
        from changed join serving.kpi_minute using (window_start) order by changed_at, window_start
        """,
        moment=moment,
        most=most,
    )
    minutes: dict[tuple[datetime, datetime], dict[str, Decimal]] = defaultdict(dict)
    for row in rows:
        minutes[row["changed_at"], row["window_start"]][row["metric"]] = row["value"]
    return [(changed_at, window, values) for (changed_at, window), values in minutes.items()]
