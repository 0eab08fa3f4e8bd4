"""`/kpis/stream`: server-sent events. Not in the OpenAPI document, which cannot say of an answer that it never ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from ecom_lakehouse.serving.api.stream import Feed

HEARTBEAT_SECONDS = 15
RETRY_MILLISECONDS = 2000

router = APIRouter()


@router.get("/kpis/stream", include_in_schema=False)
async def stream_kpis(
    request: Request, last_event_id: Annotated[str | None, Header(max_length=50)] = None
) -> EventSourceResponse:
    """New and changed minutes, alerts, and how far the data is closed, as they come."""
    feed: Feed = request.app.state.feed
    feed.refuse_if_full()

    async def told() -> AsyncIterator[ServerSentEvent]:
        async for event in feed.listen(last_event_id):
            yield ServerSentEvent(event.data, event=event.kind, id=event.id, retry=RETRY_MILLISECONDS)

    return EventSourceResponse(told(), ping=HEARTBEAT_SECONDS, headers={"Cache-Control": "no-store"})
