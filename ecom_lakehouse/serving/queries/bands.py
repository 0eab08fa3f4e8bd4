"""What the detector expected of each minute that it has scored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ecom_lakehouse.serving.queries.connection import Connection, fetch


async def bands(
    connection: Connection,
    metrics: list[str],
    start: datetime,
    end: datetime,
    limit: int,
    after: tuple[datetime, str] | None,
) -> list[dict[str, Any]]:
    """At most `limit` verdicts on [start, end), the oldest minute first, those after the keyset (minute, metric)."""
    return await fetch(
        connection,
        """
        select window_start, metric, nullif(value, 'NaN') as value, baseline, lower, upper,
               score, severity, reason, rule_name
        from serving.scored_minutes
        where metric = any(%(metrics)s) and window_start >= %(start)s and window_start < %(end)s
          and (%(after_time)s::timestamptz is null or (window_start, metric) > (%(after_time)s, %(after_metric)s))
        order by window_start, metric
        limit %(limit)s
        """,
        metrics=metrics,
        start=start,
        end=end,
        limit=limit,
        after_time=after[0] if after else None,
        after_metric=after[1] if after else None,
    )
