"""What the OpenAPI document says of each path, beside its parameters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ecom_lakehouse.serving.api.answers import CSV
from ecom_lakehouse.serving.api.models import Problem
from ecom_lakehouse.serving.api.problems import MEDIA_TYPE

DESCRIPTION = """\
KPIs, alerts, data quality and the state of the pipeline. Times are UTC; a range is `from` (in it) to `to` (not in
it). A window without events has `has_data: false` and `value: null`: no data is not zero. `provisional` is true
until all that Kafka held at the window's end is counted. Errors are problems by RFC 9457 and say what to do.

`GET /kpis/stream` (server-sent events) tells new minutes, alerts and freshness as they come. It is not listed
below, as a document cannot say of an answer that it never ends.
"""

_PROBLEMS = {
    401: "No key, or one that is not known.",
    403: "The key's role does not allow it.",
    404: "There is no such thing.",
    422: "A parameter is unknown, not well formed or out of bounds.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "Postgres is away, or the question took too long; `Retry-After` says when to come back.",
}
_OF_EVERY_PATH = (422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documents of these problem answers."""
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def gives(model: type[BaseModel], *, csv: bool = False, also: tuple[int, ...] = ()) -> dict[str, Any]:
    """A route's answers: the model, CSV where there is one, 304, and the problems.

    Routes write their answers themselves, so nothing is validated twice; `response_model` is for the document.
    """
    ok: dict[str, Any] = {"model": model}
    if csv:
        ok["content"] = {CSV: {"schema": {"type": "string"}}}
    answers: dict[int | str, dict[str, Any]] = {
        200: ok,
        304: {"description": "Unchanged since the answer whose `ETag` or `Last-Modified` was sent."},
        **problems(*sorted({*_OF_EVERY_PATH, *also})),
    }
    return {"responses": answers, "response_model": None}


def with_problem_schema(document: dict[str, Any], *, keys: bool) -> dict[str, Any]:
    """The document with the problem's schema in it, and the keys' scheme where the server wants keys."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.removeprefix("/v1") in ("/health", "/ready"):
                continue
            for operation in operations.values():
                operation["security"] = [{"key": []}]
                operation["responses"].update(
                    {str(status): answer for status, answer in problems(401, 403).items()}
                )
    return document
