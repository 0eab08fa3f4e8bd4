"""What goes around every request: the gate, an id, headers, numbers, and no stack trace for the client."""

from __future__ import annotations

import logging
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ecom_lakehouse.serving.api.metrics import ApiMetrics
from ecom_lakehouse.serving.api.problems import ApiProblem, internal_error
from ecom_lakehouse.serving.api.security import DOCS, DOCS_HEADERS, HEADERS, Gate
from ecom_lakehouse.serving.api.sharing import STREAM

log = logging.getLogger(__name__)


class Envelope:
    """The outermost ASGI layer."""

    def __init__(self, app: ASGIApp, gate: Gate, metrics: ApiMetrics) -> None:
        self._app = app
        self._gate = gate
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        if scope["method"] == "HEAD" and not scope["path"].endswith(STREAM):
            # Answered as GET; the server itself leaves out the body, as it keeps the scope that says HEAD.
            scope = {**scope, "method": "GET"}
        request_id = str(uuid.uuid4())
        extra = DOCS_HEADERS if scope["path"].startswith(DOCS) else HEADERS
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in extra.items():
                    headers[name] = value
                headers["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._admitted(scope, receive, send_with_headers)
        except Exception:
            log.exception("%s %s broke (request %s)", scope["method"], scope["path"], request_id)
            if status:
                raise
            await internal_error().response()(scope, receive, send_with_headers)
        finally:
            path = _template(scope)
            seconds = time.perf_counter() - start
            self._metrics.count(_method(scope), path, status, seconds, endless=path == STREAM)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        client, server = scope.get("client"), scope.get("server")
        try:
            self._gate.admit(
                scope["path"],
                scope["method"],
                Headers(scope=scope),
                client[0] if client else "",
                server[0] if server else "",
            )
        except ApiProblem as problem:
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names: few labels, however many ids are asked for."""
    route = scope.get("route")
    path: str = getattr(route, "path", "other") if route is not None else "other"
    return path.removeprefix("/v1")


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
