"""`/quality` and `/quality/samples`."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ecom_lakehouse.core.rules import CODES, with_tolerances
from ecom_lakehouse.serving.api.answers import cacheable
from ecom_lakehouse.serving.api.deps import AppDatabase, AppLake, AppSettings, From, Moment, To, time_range
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import Quality, QualitySample, QualitySamples
from ecom_lakehouse.serving.queries import quality as queries
from ecom_lakehouse.serving.queries.freshness import freshness
from ecom_lakehouse.settings import Settings

SIX_PLACES = Decimal("0.000001")
LONGEST_RANGE = timedelta(days=31)
DEFAULT_RANGE = timedelta(hours=24)
TABLE = ("hour", "messages", "rule", "rows", "share", "verdict")

RuleCode = Annotated[
    Literal[CODES] | None,  # type: ignore[valid-type]
    Query(description="One rule only."),
]

router = APIRouter()


@router.get("/quality", **gives(Quality, csv=True))
async def read_quality(
    request: Request,
    settings: AppSettings,
    database: AppDatabase,
    start: From = None,
    to: To = None,
    rule: RuleCode = None,
) -> Response:
    """What became of the messages of each hour, and which rules they broke."""
    asked = time_range(start, to, length=queries.HOUR, default=DEFAULT_RANGE, longest=LONGEST_RANGE)
    wanted = [code for code in CODES if rule in (None, code)]
    async with database.connection() as connection:
        trust = await freshness(connection, settings)
        stored = await queries.hours(connection, asked.start, asked.end)
        broken = await queries.broken(connection, asked.start, asked.end, wanted)
    by_hour = {row["hour"]: row for row in stored}
    hours = []
    hour = asked.start
    while hour < asked.end:
        running = trust.is_provisional(hour + queries.HOUR)
        hours.append(_hour(hour, by_hour.get(hour), broken.get(hour, []), running=running))
        hour += queries.HOUR
    content = {
        "from": asked.start,
        "to": asked.end,
        "data_as_of": trust.reached_gold_at,
        "rules": _rules(wanted, broken, sum(row["messages"] for row in stored), settings),
        "hours": hours,
    }
    table = [
        {"hour": item["hour"], "messages": item["messages"], "rule": broke["code"], **broke}
        for item in hours
        for broke in item["rules"]
    ]
    changed_at = trust.changed_at if to is not None else None
    return cacheable(request, content, rows=table, columns=TABLE, changed_at=changed_at)


@router.get("/quality/samples", **gives(QualitySamples, csv=True))
async def read_samples(
    request: Request,
    database: AppDatabase,
    lake: AppLake,
    rule: RuleCode = None,
    hour: Annotated[
        Moment | None,
        Query(description="The hour they were ingested in; the newest that has some, if left out."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="The most messages.")] = 10,
) -> Response:
    """Messages that broke a rule, as they came, with all the rules they broke and where Kafka has them."""
    whole = hour.replace(minute=0, second=0, microsecond=0) if hour else None
    async with database.connection() as connection:
        where = await queries.broken_slices(connection, rule, whole, limit)
    found: list[dict[str, Any]] = []
    if where is not None:
        found = await asyncio.to_thread(lake.samples, where, rule, limit)
    content = {
        "rule": rule,
        "hour": where.hour if where else whole,
        "rows": where.rows if where else 0,
        "data": found,
    }
    return cacheable(request, content, rows=found, columns=list(QualitySample.model_fields))


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole).quantize(SIX_PLACES) if whole else None


def _hour(
    hour: datetime, stored: dict[str, Any] | None, broken: list[dict[str, Any]], *, running: bool
) -> dict[str, Any]:
    counts = {name: stored[name] if stored else 0 for name in queries.COUNTS}
    messages = counts["messages"]
    return {
        "hour": hour,
        "has_data": messages > 0,
        **counts,
        "share_passing": _share(messages - counts["quarantine_rows"], messages),
        "provisional": running or (stored is not None and stored["unfinished"]),
        "rules": [
            {
                "code": rule["code"],
                "rows": rule["rows"],
                "share": _share(rule["rows"], messages),
                "verdict": rule["verdict"],
            }
            for rule in broken
        ],
    }


def _rules(
    codes: list[str], broken: dict[datetime, list[dict[str, Any]]], messages: int, settings: Settings
) -> list[dict[str, Any]]:
    rows: Counter[str] = Counter()
    for hour in broken.values():
        rows.update({rule["code"]: rule["rows"] for rule in hour})
    overrides = {
        name: tolerance.model_dump(exclude_none=True)
        for name, tolerance in settings.tolerances.items()
        if name in CODES
    }
    return [
        {
            "code": rule.code,
            "meaning": rule.meaning,
            "severity": rule.severity,
            "warn_above": rule.tolerance.warn_above,
            "error_above": rule.tolerance.error_above,
            "what_to_do": rule.action,
            "rows": rows[rule.code],
            "share": _share(rows[rule.code], messages),
        }
        for rule in with_tolerances(overrides)
        if rule.code in codes
    ]
