"""`/kpis` and `/kpis/latest`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ecom_lakehouse.core.kpis import METRIC_NAMES, METRICS
from ecom_lakehouse.serving.api.answers import cacheable
from ecom_lakehouse.serving.api.deps import (
    AppDatabase,
    AppSettings,
    Cursor,
    From,
    Range,
    To,
    metric_names,
    time_range,
)
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import Kpi, KpiSeries, LatestKpi, LatestKpis, Step
from ecom_lakehouse.serving.api.paging import Instant, bad_cursor, read_cursor, write_cursor
from ecom_lakehouse.serving.queries.freshness import freshness
from ecom_lakehouse.serving.queries.kpis import MINUTE, STEPS, latest, series, window_of
from ecom_lakehouse.serving.queries.kpis import Step as Windows

MOST_ROWS = 20_000
DESCRIBED = {metric.name: {"unit": metric.unit, "formula": metric.formula} for metric in METRICS}
_ONE = "|".join(METRIC_NAMES)

router = APIRouter()


def _resumed(request: Request, cursor: str, step: Windows) -> tuple[Range, datetime]:
    """The range that the first page fixed and where this page starts; a made-up cursor is refused."""
    first, last, page_start = read_cursor(request, cursor, tuple[Instant, Instant, Instant])
    aligned = all(window_of(moment, step.length) == moment for moment in (first, last, page_start))
    if not (aligned and first <= page_start < last and last - first <= step.longest_range):
        raise bad_cursor()
    return Range(first, last), page_start


@router.get("/kpis", **gives(KpiSeries, csv=True))
async def read_kpis(
    request: Request,
    settings: AppSettings,
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
    step: Step = "minute",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="The most rows of a page.")] = 5000,
    cursor: Cursor = None,
) -> Response:
    """A range of KPIs by minute, hour or day; ratios are computed from the window's sums."""
    names = metric_names(metric, "metric")
    chosen = STEPS[step]
    asked = time_range(
        start, to, length=chosen.length, default=chosen.default_range, longest=chosen.longest_range
    )
    page_start = asked.start
    if cursor is not None:
        asked, page_start = _resumed(request, cursor, chosen)
    windows = min(max(1, limit // len(names)), chosen.windows_a_page)
    page_end = min(asked.end, page_start + windows * chosen.length)
    async with database.connection() as connection:
        trust = await freshness(connection, settings)
        rows = await series(connection, trust, names, chosen, page_start, page_end)
    following = write_cursor(request, (asked.start, asked.end, page_end)) if page_end < asked.end else None
    content = {
        "from": asked.start,
        "to": asked.end,
        "step": step,
        "data_as_of": trust.reached_gold_at,
        "data": rows,
        "next_cursor": following,
    }
    return cacheable(
        request,
        content,
        rows=rows,
        columns=list(Kpi.model_fields),
        changed_at=trust.changed_at if to is not None else None,
        next_cursor=following,
    )


@router.get("/kpis/latest", **gives(LatestKpis, csv=True))
async def read_latest_kpis(
    request: Request,
    settings: AppSettings,
    database: AppDatabase,
    metrics: Annotated[
        str | None,
        Query(
            pattern=f"^({_ONE})(,({_ONE}))*$",
            max_length=500,
            description="Metrics with commas between; all if left out.",
            examples=["revenue,aov"],
        ),
    ] = None,
    closed: Annotated[bool, Query(description="The newest minute that is closed, not the newest.")] = False,
) -> Response:
    """The KPIs of the newest minute that has data; minutes that lie in the future are left out."""
    names = metric_names([metrics] if metrics is not None else None, "metrics")
    async with database.connection() as connection:
        trust = await freshness(connection, settings)
        until = trust.asked_at
        if closed:
            until = (trust.closed_before or datetime(1970, 1, 1, tzinfo=UTC)) - MINUTE
        rows = await latest(connection, trust, names, until)
    newest = rows[0]["window_start"] if rows else None
    described = [{**row, **DESCRIBED[row["metric"]]} for row in rows]
    content = {
        "window_start": newest,
        "provisional": newest is None or trust.is_provisional(newest + MINUTE),
        "data_as_of": trust.reached_gold_at,
        "fresh": trust.is_fresh,
        "data": described,
    }
    return cacheable(
        request,
        content,
        rows=described,
        columns=list(LatestKpi.model_fields),
    )
