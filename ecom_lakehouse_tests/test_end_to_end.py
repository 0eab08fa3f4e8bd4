"""The whole platform through its daemon: events become KPIs, and everything killed at once in a run loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from confluent_kafka import Producer

from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.writer import lock_holder
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.remote import stop_stack
from ecom_lakehouse_tests.pipeline import event, message
from ecom_lakehouse_tests.stack.conftest import wait_until
from ecom_lakehouse_tests.stack.running import own_settings, running_stack

RUN_SECONDS = 180


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Settings]:
    """A stack of the test's own, with a slice every five seconds."""
    settings = own_settings(tmp_path / "home", micro_batch_seconds=5)
    yield settings
    stop_stack(settings.home)


@pytest.mark.timeout(900)
def test_events_become_kpis_though_everything_is_killed_in_the_middle_of_a_run(local: Settings) -> None:
    with running_stack(local):
        send(local, 20)
        wait_until(lambda: clicks_in_gold(local) == 20, "the first events are in Gold", RUN_SECONDS)
        send(local, 30)
        wait_until(lambda: somebody_writes(local), "a run is at work", RUN_SECONDS)
    with running_stack(local):
        assert "FAILURE" in run_statuses(local), "the run that was cut off is reported failed"
        wait_until(lambda: clicks_in_gold(local) == 50, "all events are in Gold", RUN_SECONDS)
        assert audit(local).passed
        latest = httpx.get(f"{local.api_url}/kpis/latest").json()
        assert {row["metric"] for row in latest["data"]} >= {"events_total", "revenue"}


def send(settings: Settings, events: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for _ in range(events):
        key, value = message(event())
        producer.produce(settings.topic, key=key, value=value)
    assert producer.flush(20) == 0


def clicks_in_gold(settings: Settings) -> int:
    with connect(settings) as connection:
        row = connection.execute(
            "select coalesce(sum(value), 0) as clicks from serving.kpi_minute where metric = 'events_click'"
        ).fetchone()
    assert row is not None
    return int(row["clicks"])


def somebody_writes(settings: Settings) -> bool:
    with connect(settings) as connection:
        unfinished = connection.execute("select 1 from lake.slices where next_layer is not null").fetchone()
        return unfinished is not None and lock_holder(connection) is not None


def run_statuses(settings: Settings) -> list[str]:
    with psycopg.connect(settings.dagster_postgres_url) as connection:
        return [status for (status,) in connection.execute("select status from runs").fetchall()]
