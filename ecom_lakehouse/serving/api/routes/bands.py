"""`/kpis/bands`: what was expected of each minute, and how surprising it was."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse.serving.api.answers import cacheable
from ecom_lakehouse.serving.api.deps import AppDatabase, Cursor, From, To, metric_names, time_range
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import Band, Bands
from ecom_lakehouse.serving.api.paging import Instant, read_cursor, write_cursor
from ecom_lakehouse.serving.queries.bands import bands
from ecom_lakehouse.serving.queries.kpis import STEPS

MOST_ROWS = 20_000

router = APIRouter()


@router.get("/kpis/bands", **gives(Bands, csv=True))
async def read_bands(
    request: Request,
    database: AppDatabase,
    metric: Annotated[
        list[str] | None,
        Query(
            description="One metric or several (repeated, or with commas between); all if left out.",
            json_schema_extra={"anyOf": [{"type": "array", "items": {"enum": list(METRIC_NAMES)}}]},
        ),
    ] = None,
    start: From = None,
    to: To = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="The most rows of a page.")] = 5000,
    cursor: Cursor = None,
) -> Response:
    """The detector's verdict on every minute that it has scored; minutes and metrics it has not are left out."""
    minute = STEPS["minute"]
    names = metric_names(metric, "metric")
    after = None
    if cursor is not None:
        start, to, *_ = position = read_cursor(request, cursor, tuple[Instant, Instant, Instant, str])
        after = position[2], position[3]
    asked = time_range(
        start, to, length=minute.length, default=minute.default_range, longest=minute.longest_range
    )
    async with database.connection() as connection:
        rows = await bands(connection, names, asked.start, asked.end, limit + 1, after)
    page, more = rows[:limit], len(rows) > limit
    following = None
    if more:
        newest = page[-1]
        following = write_cursor(request, (asked.start, asked.end, newest["window_start"], newest["metric"]))
    return cacheable(
        request,
        {"from": asked.start, "to": asked.end, "data": page, "next_cursor": following},
        rows=page,
        columns=list(Band.model_fields),
        next_cursor=following,
    )
