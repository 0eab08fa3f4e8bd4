"""What routes are given: settings, the database, and parameters that are checked before they are used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from pydantic import BeforeValidator, WithJsonSchema

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse.serving.api.database import Database
from ecom_lakehouse.serving.api.problems import bad_request
from ecom_lakehouse.serving.queries.kpis import window_of
from ecom_lakehouse.serving.queries.samples import QuarantineReader
from ecom_lakehouse.settings import Settings

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_CURSOR = 500

_TIMESTAMP = re.compile(
    r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+\- ]\d\d:?\d\d)?)?", re.ASCII
)


def moment(value: Any) -> datetime:
    """A time as UTC: a date or ISO-8601, UTC where no offset is given (a `+` may have become a space).

    Times before 1970 and from 2200 on are taken for those ends: there is nothing beyond them.
    """
    text = str(value)
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError("must be a time such as 2026-01-31T12:00:00Z")
    text = re.sub(r" (\d\d:?\d\d)$", r"+\1", text) if len(text) > 16 else text
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.upper().replace("Z", "+00:00"))
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time that exists, such as 2026-01-31T12:00:00Z") from None
    if parsed.year >= LATEST.year:
        return LATEST
    if parsed.year < EARLIEST.year:
        return EARLIEST
    parsed = parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return max(parsed, EARLIEST)


Moment = Annotated[
    datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=LONGEST_CURSOR, pattern="^[A-Za-z0-9_-]+$", description="`next_cursor` of the page before."
    ),
]
From = Annotated[Moment | None, Query(alias="from", description="Start of the range, UTC.")]
To = Annotated[Moment | None, Query(description="End of the range, itself not in it, UTC; now if left out.")]


# Dependencies are coroutines though they wait for nothing: FastAPI would call functions on a thread.
async def app_settings(request: Request) -> Settings:
    """The settings the app was made with."""
    settings: Settings = request.app.state.settings
    return settings


async def app_database(request: Request) -> Database:
    """The app's pool."""
    database: Database = request.app.state.database
    return database


async def app_lake(request: Request) -> QuarantineReader:
    """The app's view of the lake."""
    lake: QuarantineReader = request.app.state.lake
    return lake


AppLake = Annotated[QuarantineReader, Depends(app_lake)]
AppSettings = Annotated[Settings, Depends(app_settings)]
AppDatabase = Annotated[Database, Depends(app_database)]


async def known_parameters(request: Request) -> None:
    """Refuses a parameter that the path does not have, so that a slip of the pen is no other question."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise bad_request(*((name[:100], f"is no parameter here; there are: {listed}") for name in unknown))
    twice = sorted(
        name
        for name in set(request.query_params)
        if name != "metric" and len(request.query_params.getlist(name)) > 1
    )
    if twice:
        raise bad_request(*((name, "may be given once only") for name in twice))


@dataclass(frozen=True)
class Range:
    """[start, end) in UTC."""

    start: datetime
    end: datetime


def time_range(
    start: datetime | None,
    end: datetime | None,
    *,
    length: timedelta,
    default: timedelta,
    longest: timedelta,
) -> Range:
    """The asked range, widened to whole windows and bounded.

    Raises:
        ApiProblem: the end is not after the start, or the range is longer than allowed.
    """
    if end is None:
        end = datetime.now(UTC) if start is None else min(datetime.now(UTC), start + longest - length)
        if start is not None and end <= start:
            end = start + length
    last = window_of(end, length)
    last = last if last == end else last + length
    first = window_of(start, length) if start is not None else last - default
    first = max(first, EARLIEST)
    if start is not None and start >= end:
        raise bad_request(("to", "must lie after from"))
    if last - first > longest:
        raise bad_request(("from", f"the range may be {longest.days} days long; take a longer step or less"))
    return Range(first, last)


def metric_names(given: list[str] | None, parameter: str) -> list[str]:
    """The metrics named, each once, in the order asked; all of them if none is.

    Raises:
        ApiProblem: one of them does not exist.
    """
    names = [name.strip() for item in given or [] for name in item.split(",")]
    unknown = [name for name in names if name not in METRIC_NAMES]
    if unknown:
        wrong = ", ".join(repr(name[:50]) for name in unknown[:5])
        raise bad_request((parameter, f"{wrong} is no metric; there are: {', '.join(METRIC_NAMES)}"))
    return list(dict.fromkeys(names)) or list(METRIC_NAMES)
