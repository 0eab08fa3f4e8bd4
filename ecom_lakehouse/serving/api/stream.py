"""What is new, looked for once a second and told to every listener of `/kpis/stream`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ecom_lakehouse.serving.api.answers import encode
from ecom_lakehouse.serving.api.database import Database
from ecom_lakehouse.serving.api.problems import ApiProblem
from ecom_lakehouse.serving.queries.alerts import alerts_changed_since
from ecom_lakehouse.serving.queries.freshness import Freshness, freshness
from ecom_lakehouse.serving.queries.kpis import MINUTE, minutes_changed_since, newest_minute
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecom_lakehouse.serving.queries.connection import Connection

# A transaction that began earlier may commit later: each look goes back this far, and what was told is not retold.
OVERLAP = timedelta(seconds=30)
LONGEST_ABSENCE = timedelta(hours=1)
MOST_AT_ONCE = 500
MOST_QUEUED = 2 * MOST_AT_ONCE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """What a listener is told: its kind, what it is about, when that changed, and the data as JSON."""

    kind: str
    subject: str
    changed_at: datetime
    data: str

    @property
    def id(self) -> str:
        """Where a listener may go on: the change's time in microseconds."""
        return str((self.changed_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def moment_of(event_id: str) -> datetime | None:
    """The time in an event's id; None if it is no such id."""
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) <= 17):
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(event_id))


class Listener:
    """A bounded queue; who falls behind is let go, and may come back with `Last-Event-ID`."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def tell(self, events: list[Event]) -> None:
        """Queues the events, or closes if they are too many."""
        if len(self._events) + len(events) > MOST_QUEUED:
            self.close()
        else:
            self._events.extend(events)
            self._wake.set()

    def close(self) -> None:
        """Ends the stream once what is queued is told."""
        self._closed = True
        self._wake.set()

    async def events(self) -> AsyncIterator[Event]:
        """Events as they come, until the listener is closed."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()


class Feed:
    """Looks for what is new, once for all listeners, and only while somebody listens."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def refuse_if_full(self) -> None:
        """Leaves no more listeners in than the setting `api_stream_clients`.

        Raises:
            ApiProblem: all places are taken (503).
        """
        most = self._settings.api_stream_clients
        if len(self._listeners) >= most:
            raise ApiProblem(
                503,
                "too-many-listeners",
                "Too many listen to the stream",
                f"All {most} places are taken.",
                "Come back in a minute, or raise LAKEHOUSE_API_STREAM_CLIENTS.",
                headers={"Retry-After": "60"},
            )

    async def listen(self, last_event_id: str | None) -> AsyncIterator[Event]:
        """What was missed since the last event, if one is named, then what is new, for as long as it is wanted."""
        with self._joined() as listener:
            for event in await self._greeting(last_event_id):
                yield event
            async for event in listener.events():
                yield event

    def close(self) -> None:
        """Lets every listener go."""
        for listener in self._listeners:
            listener.close()
        self._rest()

    @contextmanager
    def _joined(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_ever())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._rest()

    def _rest(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def _greeting(self, last_event_id: str | None) -> list[Event]:
        async with self._database.connection() as connection:
            trust = await freshness(connection, self._settings)
            now = await self._freshness_event(connection, trust)
            if last_event_id is None:
                return [now]
            since = moment_of(last_event_id)
            if since is None or trust.asked_at - since > LONGEST_ABSENCE:
                return [_reset(trust.asked_at), now]
            missed = await self._changes(connection, trust, since - OVERLAP)
        return [_reset(trust.asked_at), now] if len(missed) > MOST_AT_ONCE else [*missed, now]

    async def _look_for_ever(self) -> None:
        told: dict[tuple[str, str], datetime] = {}
        since: datetime | None = None
        reached: datetime | None = None
        first = True
        while True:
            try:
                async with self._database.connection() as connection:
                    trust = await freshness(connection, self._settings)
                    since = since or trust.asked_at
                    events = await self._changes(connection, trust, since - OVERLAP)
                    if len(events) > MOST_AT_ONCE:
                        events = [_reset(trust.asked_at)]
                        since = trust.asked_at + OVERLAP
                    news = [e for e in events if told.get((e.kind, e.subject)) != e.changed_at]
                    # The first look tells it in any case: more may have closed since the listener was greeted.
                    if first or trust.reached_gold_at != reached:
                        news.append(await self._freshness_event(connection, trust))
                        first, reached = False, trust.reached_gold_at
            except ApiProblem as away:
                log.warning("the stream waits for Postgres: %s", away.detail)
            else:
                since = max([since, *(event.changed_at for event in events)])
                told.update({(event.kind, event.subject): event.changed_at for event in events})
                told = {key: moment for key, moment in told.items() if moment >= since - OVERLAP}
                for listener in list(self._listeners):
                    listener.tell(news)
            await asyncio.sleep(self._settings.api_stream_poll_seconds)

    async def _changes(self, connection: Connection, trust: Freshness, since: datetime) -> list[Event]:
        minutes = await minutes_changed_since(connection, since, MOST_AT_ONCE + 1)
        alerts = await alerts_changed_since(connection, since, MOST_AT_ONCE + 1)
        events = [
            _event(
                "kpis",
                window.isoformat(),
                changed_at,
                {
                    "window_start": window,
                    "provisional": trust.is_provisional(window + MINUTE),
                    "values": values,
                },
            )
            for changed_at, window, values in minutes
        ]
        events += [_event("alert", alert["alert_id"], changed_at, alert) for changed_at, alert in alerts]
        return sorted(events, key=lambda event: event.changed_at)

    async def _freshness_event(self, connection: Connection, trust: Freshness) -> Event:
        newest = await newest_minute(connection, trust.asked_at)
        content = {"data_as_of": trust.reached_gold_at, "fresh": trust.is_fresh, "newest_minute": newest}
        return _event("freshness", "", trust.asked_at, content)


def _reset(moment: datetime) -> Event:
    return _event("reset", "", moment, {})


def _event(kind: str, subject: str, changed_at: datetime, content: dict[str, Any]) -> Event:
    return Event(kind, subject, changed_at, encode(content).decode())
