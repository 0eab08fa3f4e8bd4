"""Many who ask the same at the same moment are answered once: a wall of dashboards costs what one does."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STREAM = "/kpis/stream"
VARIES = ("accept", "accept-encoding", "if-none-match", "if-modified-since")

Answer = tuple[list[Message], Any]


class SharedAnswers:
    """Lets a GET wait for the answer to the same GET that is under way, and gives both the same.

    An answer is thus never older than the time it takes to make one, and nothing is kept. A request that changes
    something lets go of what is under way: who asks after it sees the change. Whoever may read may read all,
    so it does not matter who asks; the gate stands before this.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way: dict[tuple[object, ...], asyncio.Task[Answer]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].endswith(STREAM):
            await self._app(scope, receive, send)
            self._under_way.clear()
            return
        headers = Headers(scope=scope)
        question = (scope["path"], scope["query_string"], *map(headers.get, VARIES))
        answering = self._under_way.get(question)
        if answering is None:
            answering = self._under_way[question] = asyncio.create_task(self._answer(scope))
            answering.add_done_callback(lambda done: self._forget(question, done))
        messages, scope["route"] = await asyncio.shield(answering)
        for message in messages:
            # a copy, as each gets headers of its own on its way out
            own = {"headers": list(message["headers"])} if "headers" in message else {}
            await send({**message, **own})

    async def _answer(self, scope: Scope) -> Answer:
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._app(scope, _empty_body(), collect)
        return messages, scope.get("route")

    def _forget(self, question: tuple[object, ...], done: asyncio.Task[Answer]) -> None:
        if self._under_way.get(question) is done:
            del self._under_way[question]


def _empty_body() -> Receive:
    """A request without a body, by somebody who never leaves: who streams an answer waits for that meanwhile."""
    parts: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop()

    return receive
