"""From rows to an answer: JSON or CSV, with validators for caches, 304 where nothing changed."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

JSON = "application/json"
CSV = "text/csv"

_encoder = msgspec.json.Encoder(decimal_format="number")


def encode(content: Any) -> bytes:
    """JSON with decimals as numbers, every digit kept, and UTC times ending in Z."""
    return _encoder.encode(content)


def uncached(content: Any, status: int = 200) -> Response:
    """The content as JSON that nobody may keep."""
    return Response(encode(content), status, {"Cache-Control": "no-store"}, JSON)


def prefers_csv(request: Request) -> bool:
    """Whether the client likes `text/csv` better than JSON (a tie is JSON's)."""
    accept = request.headers.get("accept", "")
    return CSV in accept and _quality(accept, CSV) > _quality(accept, JSON)


def _quality(accept: str, media_type: str) -> float:
    best, best_precision = 0.0, -1
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        precision = {media_type: 2, media_type.split("/")[0] + "/*": 1, "*/*": 0}.get(name, -1)
        if precision > best_precision:
            weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            try:
                best, best_precision = float(weight), precision
            except ValueError:
                continue
    return best


def as_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """The rows under a header; lists and objects as JSON, times as in the JSON answers, null as nothing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[column]) for column in columns] for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return encode(value).decode().strip('"')


def cacheable(
    request: Request,
    content: Any,
    *,
    rows: Iterable[Mapping[str, Any]] | None = None,
    columns: Sequence[str] = (),
    changed_at: datetime | None = None,
    next_cursor: str | None = None,
) -> Response:
    """The content as JSON, or its rows as CSV where the client wants that and there are rows.

    A bare 304 if the client holds it already; ETag is made of the body, Last-Modified of `changed_at`,
    which is for answers that time alone does not change.
    """
    as_table = rows is not None and prefers_csv(request)
    body = as_csv(rows or (), columns) if as_table else encode(content)
    headers = {
        "ETag": f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"',
        "Cache-Control": "no-cache",
        "Vary": "Accept, Authorization, X-API-Key",
    }
    modified = _last_modified(changed_at)
    if modified is not None:
        headers["Last-Modified"] = format_datetime(modified, usegmt=True)
    if next_cursor is not None:
        url = request.url.include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    if _unchanged(request, headers["ETag"], modified):
        return Response(None, 304, headers)
    return Response(body, 200, headers, f"{CSV}; charset=utf-8; header=present" if as_table else JSON)


def _last_modified(changed_at: datetime | None) -> datetime | None:
    """The whole second after the change, once it has passed: no later change can fall into it."""
    if changed_at is None:
        return None
    second = changed_at.astimezone(UTC).replace(microsecond=0)
    if second < changed_at:
        second += timedelta(seconds=1)
    return second if second < datetime.now(UTC) else None


def _unchanged(request: Request, etag: str, modified: datetime | None) -> bool:
    given = request.headers.get("if-none-match")
    if given is not None:
        return given.strip() == "*" or etag in {tag.strip() for tag in given.split(",")}
    since = request.headers.get("if-modified-since")
    if since is None or modified is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    return modified <= moment.replace(tzinfo=moment.tzinfo or UTC)
