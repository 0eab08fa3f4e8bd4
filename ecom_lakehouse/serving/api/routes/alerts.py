"""`/alerts`: lists, one, and acknowledging it."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from ecom_lakehouse.serving.api.answers import cacheable, uncached
from ecom_lakehouse.serving.api.deps import AppDatabase, Cursor, From, To
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import (
    Acknowledgement,
    Alert,
    Alerts,
    AlertState,
    LatestAlerts,
    Severity,
)
from ecom_lakehouse.serving.api.paging import Instant, read_cursor, write_cursor
from ecom_lakehouse.serving.api.problems import ApiProblem, bad_request, not_found
from ecom_lakehouse.serving.queries import alerts as queries

NAME = re.compile("[a-z][a-z0-9_]{0,63}")
NAMES = f"^{NAME.pattern}(,{NAME.pattern})*$"
AlertId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]+$")]

router = APIRouter()


@router.get("/alerts", **gives(Alerts, csv=True))
async def read_alerts(
    request: Request,
    database: AppDatabase,
    metric: Annotated[
        list[Annotated[str, StringConstraints(pattern=NAMES)]] | None,
        Query(
            description="One metric or several (repeated, or with commas between); any if left out.",
            max_length=50,
        ),
    ] = None,
    severity: Severity | None = None,
    state: AlertState | None = None,
    start: From = None,
    to: To = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="The most alerts of a page.")] = 100,
    cursor: Cursor = None,
) -> Response:
    """Incidents that touch the range, the newest first; of all times if no range is given."""
    if start is not None and to is not None and start >= to:
        raise bad_request(("to", "must lie after from"))
    wanted = queries.AlertFilter(_listed(metric), severity, state, start, to)
    after = read_cursor(request, cursor, tuple[Instant, str]) if cursor is not None else None
    async with database.connection() as connection:
        rows = await queries.alerts_page(connection, wanted, limit + 1, after)
    page, more = rows[:limit], len(rows) > limit
    following = write_cursor(request, (page[-1]["created_at"], page[-1]["alert_id"])) if more else None
    return cacheable(
        request,
        {"data": page, "next_cursor": following},
        rows=page,
        columns=list(Alert.model_fields),
        next_cursor=following,
    )


@router.get("/alerts/latest", **gives(LatestAlerts, csv=True))
async def read_latest_alerts(
    request: Request,
    database: AppDatabase,
    limit: Annotated[int, Query(ge=1, le=1000, description="The most alerts.")] = 20,
) -> Response:
    """The newest alerts, whatever their state, and how many are open."""
    async with database.connection() as connection:
        rows = await queries.alerts_page(connection, queries.AlertFilter(), limit, None)
        still_open = await queries.open_alerts(connection)
    return cacheable(request, {"open": still_open, "data": rows}, rows=rows, columns=list(Alert.model_fields))


@router.get("/alerts/{alert_id}", **gives(Alert, also=(404,)))
async def read_alert(request: Request, database: AppDatabase, alert_id: AlertId) -> Response:
    """One alert, with all that is needed to check its verdict by hand."""
    async with database.connection() as connection:
        alert = await queries.alert_by_id(connection, alert_id)
    if alert is None:
        raise _no_alert(alert_id)
    return cacheable(request, alert)


@router.post("/alerts/{alert_id}/acknowledge", **gives(Alert, also=(404,)))
async def acknowledge_alert(
    database: AppDatabase, alert_id: AlertId, acknowledgement: Acknowledgement
) -> Response:
    """Take an alert on. Said twice is said once: the first to do so is kept."""
    async with database.connection() as connection:
        alert = await queries.acknowledge(connection, alert_id, acknowledgement.by.strip())
    if alert is None:
        raise _no_alert(alert_id)
    return uncached(alert)


def _listed(metric: list[str] | None) -> list[str] | None:
    """The names asked for; a rule may watch what is no KPI, so any well-formed name will do."""
    names = [name.strip() for item in metric or [] for name in item.split(",")]
    if any(not NAME.fullmatch(name) for name in names):
        raise bad_request(("metric", "must be a name such as revenue"))
    return names or None


def _no_alert(alert_id: str) -> ApiProblem:
    return not_found(f"No alert {alert_id!r}.", "GET /alerts lists those that there are.")
