"""One answer for all who ask the same at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

from ecom_lakehouse.serving.api.sharing import SharedAnswers


class Slow:
    """An app that answers with the number of times it was asked, once it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked += 1
        body = str(self.asked).encode()
        if scope["method"] == "GET":
            await self.let_go.wait()
        if scope["path"] == "/broken":
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", body)]})
        await send({"type": "http.response.body", "body": body})


async def asked(
    app: Any, path: str = "/kpis", method: str = "GET", query: bytes = b"", accept: bytes = b"*/*"
) -> bytes:
    """The body of one answer; what is done to its headers must not reach the others' answers."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        if "headers" in message:
            message["headers"].append((b"x-request-id", b"mine"))
            assert len(message["headers"]) == 2
        told.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "query_string": query,
        "headers": [(b"accept", accept)],
    }
    await app(scope, receive, send)
    return bytes(told[-1]["body"])


async def together(app: Any, slow: Slow, *questions: dict[str, Any]) -> list[Any]:
    """The answers to questions that are all under way before the first is answered."""
    asking = [asyncio.create_task(asked(app, **question)) for question in questions]
    for _ in range(10):
        await asyncio.sleep(0)
    slow.let_go.set()
    return await asyncio.gather(*asking, return_exceptions=True)


def test_the_same_question_is_asked_once_however_many_wait_for_it() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = SharedAnswers(slow)
        assert await together(app, slow, *[{}] * 8) == [b"1"] * 8
        assert await asked(app) == b"2", "nothing is kept for later"

    asyncio.run(scenario())


def test_other_questions_and_other_forms_are_asked_apart() -> None:
    async def scenario() -> None:
        slow = Slow()
        await together(
            SharedAnswers(slow),
            slow,
            {},
            {"query": b"step=day"},
            {"path": "/alerts"},
            {"accept": b"text/csv"},
        )
        assert slow.asked == 4

    asyncio.run(scenario())


def test_who_asks_after_a_change_does_not_get_the_answer_under_way() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = SharedAnswers(slow)
        before = asyncio.create_task(asked(app))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asked(app, method="POST")
        after = asyncio.create_task(asked(app))
        await asyncio.sleep(0)
        slow.let_go.set()
        assert (await before, await after) == (b"1", b"3")

    asyncio.run(scenario())


def test_who_hangs_up_does_not_take_the_answer_from_the_others() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = SharedAnswers(slow)
        first, second = asyncio.create_task(asked(app)), asyncio.create_task(asked(app))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        slow.let_go.set()
        assert await second == b"1"

    asyncio.run(scenario())


def test_a_broken_answer_breaks_for_all_who_wait_and_for_nobody_after() -> None:
    async def scenario() -> None:
        slow = Slow()
        app = SharedAnswers(slow)
        broken = await together(app, slow, *[{"path": "/broken"}] * 3)
        assert [str(error) for error in broken] == ["broken"] * 3
        assert await asked(app) == b"2"

    asyncio.run(scenario())
