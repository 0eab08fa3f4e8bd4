"""The API on a real port, over a real Postgres; rows are put there as the pipeline would put them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from ecom_lakehouse.core.kpis import kpi_values
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.serving.api.server import api_server
from ecom_lakehouse.settings import LOCALHOST, Settings

PATIENCE_SECONDS = 20
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def wait_until(holds: Callable[[], Any], what: str) -> Any:
    """Waits for a condition, and gives what it gave."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_SECONDS} s"
        time.sleep(0.02)


@contextmanager
def running_api(settings: Settings) -> Iterator[httpx.Client]:
    """The API served by uvicorn on a free port, and a client of it."""
    server = api_server(settings, port=0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="api")
    thread.start()
    try:
        wait_until(lambda: server.started, "the API's start")
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://{LOCALHOST}:{port}", timeout=PATIENCE_SECONDS) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the API did not end"


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of an API over the test's own database."""
    with running_api(settings) as client:
        yield client


class Gold:
    """Writes what the pipeline would have written."""

    def __init__(self, settings: Settings) -> None:
        self.connection = connect(settings, autocommit=True)
        self.run("insert into lake.topics (topic_id, cluster_id, topic) values ('t', 'c', 'events')")
        self.slices = 0

    def run(self, statement: str, *parameters: Any) -> psycopg.Cursor[Any]:
        """One statement as the owner of the database."""
        return self.connection.execute(statement, parameters or None)  # type: ignore[call-overload,no-any-return]

    def minute(self, start: datetime, *, updated_at: datetime | None = None, **counts: Any) -> None:
        """A minute's ten KPIs, from its sums; those not given are 0."""
        sums = {
            "events_total": 0,
            "events_click": 0,
            "events_add_to_cart": 0,
            "events_checkout": 0,
            "events_purchase": 0,
            "revenue": 0,
            **counts,
        }
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into serving.kpi_minute (window_start, metric, value, updated_at)"
                " values (%s, %s, %s, coalesce(%s, now()))"
                " on conflict (window_start, metric) do update set value = excluded.value,"
                " revision = kpi_minute.revision + 1, updated_at = excluded.updated_at",
                [(start, metric, value, updated_at) for metric, value in kpi_values(sums).items()],
            )

    def reached(self, moment: datetime) -> None:
        """All that Kafka held at this moment has reached Gold."""
        self.run("update lake.looks set caught_up_at = %s, looked_at = %s", moment, moment)

    def slice(self, planned_at: datetime, *, state: str = "done", **columns: Any) -> int:
        """A slice of the ledger in one of its states, with a range of 100 offsets."""
        self.slices += 1
        number = self.slices
        next_layer = {"done": None, "planned": "bronze", "bronze": "silver", "silver": "gold"}[state]
        row = {
            "slice_id": number,
            "topic_id": "t",
            "planned_at": planned_at,
            "planned_hour": planned_at.replace(minute=0, second=0, microsecond=0),
            "reaches_end": True,
            "next_layer": next_layer,
            "gold_at": planned_at if state == "done" else None,
            **columns,
        }
        names = ", ".join(row)
        self.run(f"insert into lake.slices ({names}) values ({', '.join(['%s'] * len(row))})", *row.values())
        self.run(
            "insert into lake.slice_ranges (slice_id, topic_id, kafka_partition, start_offset, end_offset,"
            " follows) values (%s, 't', 0, %s, %s, %s)",
            number,
            100 * (number - 1),
            100 * number,
            100 * (number - 1) if number > 1 else None,
        )
        return number

    def alert(self, alert_id: str, **columns: Any) -> None:
        """An open alert on revenue, unless said otherwise."""
        row = {
            "alert_id": alert_id,
            "window_start": NOON,
            "last_window": NOON,
            "metric": "revenue",
            "value": 3,
            "baseline": 120,
            "score": 0.9,
            "severity": "warn",
            "rule_name": "ewma_zscore_v1",
            **columns,
        }
        names = ", ".join(row)
        self.run(
            f"insert into serving.alerts ({names}) values ({', '.join(['%s'] * len(row))})", *row.values()
        )


@pytest.fixture
def gold(settings: Settings) -> Iterator[Gold]:
    """Puts rows into the test's own database."""
    writer = Gold(settings)
    with writer.connection:
        yield writer
