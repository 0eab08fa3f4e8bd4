"""Errors as RFC 9457 problems: what went wrong and what to do, never a stack trace."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ecom-lakehouse:problem:"


@dataclass
class ApiProblem(Exception):  # noqa: N818 - the RFC's own word
    """An answer that is a problem; `name` ends its type."""

    status: int
    name: str
    title: str
    detail: str
    what_to_do: str
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The problem as `application/problem+json`, with an id of its own."""
        body = {
            "type": TYPE_PREFIX + self.name,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "what_to_do": self.what_to_do,
            "instance": f"urn:uuid:{uuid.uuid4()}",
            "errors": self.errors,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(msgspec.json.encode(body), self.status, headers, MEDIA_TYPE)


def bad_request(*errors: tuple[str, str]) -> ApiProblem:
    """A 422 that names each wrong parameter and what is the matter with it."""
    return ApiProblem(
        422,
        "bad-request",
        "The question is not well formed",
        "; ".join(f"{parameter}: {message}" for parameter, message in errors),
        "Correct the parameters named in `errors`; /docs shows what is allowed.",
        [{"parameter": parameter, "message": message} for parameter, message in errors],
    )


def not_found(detail: str, what_to_do: str) -> ApiProblem:
    """A 404 that says where to look instead."""
    return ApiProblem(404, "not-found", "There is no such thing", detail, what_to_do)


def unavailable(detail: str, retry_after_seconds: int) -> ApiProblem:
    """A 503: Postgres is away; asking again later will do."""
    return ApiProblem(
        503,
        "unavailable",
        "Postgres is away",
        detail,
        f"Ask again in {retry_after_seconds} s; if it lasts, look at `make ps` and `make logs`.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def schema_missing(detail: str) -> ApiProblem:
    """A 503: the database answers, but is not (yet) the platform's."""
    return ApiProblem(
        503,
        "unavailable",
        "Postgres lacks the tables",
        detail,
        "Restart the stack (`make run`), which brings the schema up to date, and ask again.",
        headers={"Retry-After": "5"},
    )


def too_slow(seconds: float) -> ApiProblem:
    """A 503: the statement timeout ended the question."""
    return ApiProblem(
        503,
        "too-slow",
        "The question took too long",
        f"Postgres was stopped after {seconds:g} s.",
        "Narrow the range, name fewer metrics or take a smaller page; then ask again.",
        headers={"Retry-After": "5"},
    )


async def problem_response(_request: Request, problem: Exception) -> Response:
    """Answers an `ApiProblem` that was raised."""
    assert isinstance(problem, ApiProblem)
    return problem.response()


async def invalid_request(_request: Request, error: Exception) -> Response:
    """Answers parameters that FastAPI refused, in our own form."""
    assert isinstance(error, RequestValidationError)
    wrong = []
    for item in error.errors():
        where = [str(part) for part in item["loc"][1:]] or [str(item["loc"][0])]
        wrong.append((".".join(where), item["msg"].removeprefix("Value error, ")))
    return bad_request(*wrong).response()


async def http_error(request: Request, error: Exception) -> Response:
    """Answers the router's own refusals: no such path, no such method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return ApiProblem(
            405,
            "method-not-allowed",
            "This method is not allowed here",
            f"{request.method} {request.url.path}",
            f"Use {headers.get('Allow', headers.get('allow', 'another method'))}.",
            headers=headers,
        ).response()
    if error.status_code == 404:
        return not_found(f"No path {request.url.path}.", "/docs lists every path.").response()
    if error.status_code == 400:
        return bad_request(("body", "is not JSON that can be read")).response()
    return ApiProblem(
        error.status_code, "refused", "The request was refused", str(error.detail), "See /docs.", [], headers
    ).response()


def internal_error() -> ApiProblem:
    """A 500 that keeps the stack trace in the log."""
    return ApiProblem(
        500,
        "internal-error",
        "Something broke in the API",
        "The log has the details, under this answer's X-Request-ID.",
        "Look it up in the API's log (`make logs`) and report it with that id.",
    )
