"""The whole platform through its daemon: events become KPIs, and everything killed at once in a run loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka import Producer

from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.writer import lock_holder
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.environment import settings_environment
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.processes import kill_all, marked
from ecom_lakehouse.stack.remote import stop_stack
from ecom_lakehouse_tests.pipeline import event, message
from ecom_lakehouse_tests.stack.conftest import wait_until

UP_SECONDS = 240
RUN_SECONDS = 180
PORTS = ("kafka", "postgres", "api", "dashboard", "dagster")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Settings]:
    """A stack of the test's own, with a slice every five seconds."""
    ports = {f"{name}_port": free_port() for name in PORTS}
    settings = Settings(_env_file=None, home=tmp_path / "home", micro_batch_seconds=5, **ports)
    yield settings
    stop_stack(settings.home)


@pytest.mark.timeout(900)
def test_events_become_kpis_though_everything_is_killed_in_the_middle_of_a_run(local: Settings) -> None:
    with killed_stack(local):
        send(local, 20)
        wait_until(lambda: clicks_in_gold(local) == 20, "the first events are in Gold", RUN_SECONDS)
        send(local, 30)
        wait_until(lambda: somebody_writes(local), "a run is at work", RUN_SECONDS)
    with killed_stack(local):
        assert "FAILURE" in run_statuses(local), "the run that was cut off is reported failed"
        wait_until(lambda: clicks_in_gold(local) == 50, "all events are in Gold", RUN_SECONDS)
        assert audit(local).passed
        latest = httpx.get(f"{local.api_url}/kpis/latest").json()
        assert {row["metric"] for row in latest["data"]} >= {"events_total", "revenue"}


@contextmanager
def killed_stack(settings: Settings) -> Iterator[None]:
    """The stack while it is up; at the end all of it is killed at once, the watcher that would end it in order too."""
    output = settings.home.parent / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from ecom_lakehouse.cli import main; main()", "run"],
            env={**os.environ, **settings_environment(settings)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: "Everything is up" in output.read_text() or process.poll() is not None,
            "all is up",
            UP_SECONDS,
        )
        assert process.poll() is None, output.read_text()
        yield
    finally:
        kill_all([psutil.Process(process.pid), *marked(settings.home)])
        process.wait()
        wait_until(lambda: not marked(settings.home), "no process is left", 40)


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
