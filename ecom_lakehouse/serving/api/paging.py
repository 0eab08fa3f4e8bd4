"""Cursors: opaque to the client, checked on their way back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request

from ecom_lakehouse.serving.api.problems import ApiProblem, bad_request

FREE = frozenset({"cursor", "limit"})
Position = TypeVar("Position")
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def bad_cursor() -> ApiProblem:
    """A 422: somebody made the cursor up, or the question changed under it."""
    return bad_request(("cursor", "is no cursor of this question; ask again without it"))


def _fingerprint(request: Request) -> str:
    """What a cursor belongs to: the path and every parameter but the page's own."""
    asked = sorted((name, value) for name, value in request.query_params.multi_items() if name not in FREE)
    path = request.url.path.removeprefix("/v1")
    return hashlib.sha256(msgspec.json.encode([path, asked])).hexdigest()[:16]


def write_cursor(request: Request, position: Any) -> str:
    """A cursor at a position (anything msgspec can write) of this very question."""
    content = msgspec.json.encode([_fingerprint(request), position])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def read_cursor(request: Request, cursor: str, form: type[Position]) -> Position:
    """The position that `write_cursor` put there.

    Raises:
        ApiProblem: it is no cursor, or one of another question.
    """
    try:
        content = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, position = msgspec.json.decode(content, type=tuple[str, form])  # type: ignore[valid-type]
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise bad_cursor() from error
    if fingerprint != _fingerprint(request):
        raise bad_cursor()
    return position
