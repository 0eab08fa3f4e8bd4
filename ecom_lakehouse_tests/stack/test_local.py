"""The real stack: everything up, and nothing left of it after its supervisor was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console

from ecom_lakehouse.lake import ledger
from ecom_lakehouse.settings import LOCALHOST, Settings
from ecom_lakehouse.stack.child import Child, started
from ecom_lakehouse.stack.jars import fetch_jars
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.local import local_services
from ecom_lakehouse.stack.ports import free_port, is_listening
from ecom_lakehouse.stack.postgres import administrator_url, postgres_service
from ecom_lakehouse.stack.processes import marked, wait_gone
from ecom_lakehouse.stack.remote import process_rows, stop_stack
from ecom_lakehouse.stack.topic import create_topic
from ecom_lakehouse_tests.stack.conftest import wait_until
from ecom_lakehouse_tests.stack.running import GONE_SECONDS, PORTS, own_settings, running_stack


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a local stack on free ports; nothing of it outlives the test."""
    settings = own_settings(tmp_path / "home")
    yield settings
    stop_stack(settings.home)


def test_all_services_come_up_answer_and_vanish_with_a_killed_supervisor(local: Settings) -> None:
    with running_stack(local) as supervisor:
        assert {row.name: row.state for row in process_rows(local.home)} == dict.fromkeys(
            ("supervisor", "kafka", "postgres", "code-server", "webserver", "daemon", "api", "dashboard"),
            "ready",
        )
        assert httpx.get(f"{local.api_url}/health").status_code == 200
        assert httpx.get(f"{local.dashboard_url}/_stcore/health").status_code == 200
        assert _loaded_definitions(local) == ["ecom_lakehouse"]
        supervisor.kill()
        supervisor.wait()
        wait_until(
            lambda: not [one for one in psutil.process_iter(["cmdline"]) if _names(one, local.home)],
            "no process names the home",
            GONE_SECONDS,
        )
        assert marked(local.home) == []
        assert not [name for name in PORTS if is_listening(getattr(local, f"{name}_port"))]


def _loaded_definitions(settings: Settings) -> list[str]:
    """The code locations that Dagster's webserver could load."""
    query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError "
    query += "{ __typename } } } } }"
    answer = httpx.post(f"{settings.dagster_url}/graphql", json={"query": query}, timeout=30).json()
    entries = answer["data"]["workspaceOrError"]["locationEntries"]
    return [
        one["name"] for one in entries if one["locationOrLoadError"]["__typename"] == "RepositoryLocation"
    ]


def _names(process: psutil.Process, home: Path) -> bool:
    return any(str(home) in part for part in process.info["cmdline"] or [])


def test_kafka_goes_on_with_the_same_data_on_another_port(tmp_path: Path) -> None:
    jars = fetch_jars(Settings(_env_file=None))
    folder, log = tmp_path / "kafka", tmp_path / "kafka.log"
    port = free_port()
    with started(kafka_service(folder, port, jars), log, tmp_path):
        settings = Settings(_env_file=None, kafka_port=port)
        create_topic(settings, partitions=1)
        producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
        producer.produce(settings.topic, b"still here")
        assert producer.flush(20) == 0
    port = free_port()
    with started(kafka_service(folder, port, jars), log, tmp_path):
        consumer = Consumer({"bootstrap.servers": f"{LOCALHOST}:{port}", "group.id": "reader"})
        consumer.assign([TopicPartition(settings.topic, 0, 0)])
        message = consumer.poll(30)
        consumer.close()
    assert message is not None
    assert message.value() == b"still here"


def test_postgres_goes_on_with_the_same_data_after_it_was_killed_with_a_session_at_work(
    tmp_path: Path,
) -> None:
    folder, log, port = tmp_path / "postgres", tmp_path / "postgres.log", free_port()
    service = postgres_service(folder, port)
    with started(service, log, tmp_path) as child:
        with psycopg.connect(administrator_url(folder, port), autocommit=True) as connection:
            connection.execute("create table kept as select 42 as answer")
        busy = psycopg.connect(administrator_url(folder, port), autocommit=True)
        busy.pgconn.send_query(b"select count(*) from generate_series(1, 1000000000)")
        session = psutil.Process(busy.info.backend_pid)
        assert child.running is not None
        os.kill(child.running.pid, signal.SIGKILL)
        wait_until(lambda: child.exit_code is not None, "postgres is dead")
        assert wait_gone([session], 0.5) == [session], "a session at work outlives its server"
    with started(service, log, tmp_path), psycopg.connect(administrator_url(folder, port)) as connection:
        assert wait_gone([session], 1) == []
        assert connection.execute("select answer from kept").fetchone() == (42,)
    busy.close()


def test_postgres_starts_though_nobody_has_reaped_the_killed_one(tmp_path: Path) -> None:
    folder, log, port = tmp_path / "postgres", tmp_path / "postgres.log", free_port()
    service = postgres_service(folder, port)
    child = Child(service, log, tmp_path)
    child.start()
    child.wait_ready()
    assert child.running is not None
    dead = psutil.Process(child.running.pid)
    dead.kill()
    wait_until(lambda: dead.status() == psutil.STATUS_ZOMBIE, "postgres is dead, its id still taken")
    with started(service, log, tmp_path), psycopg.connect(administrator_url(folder, port)) as connection:
        assert connection.execute("select 42").fetchone() == (42,)
    child.reap()


def test_a_start_on_another_postgres_lifts_the_pause_of_the_stop_before_it(settings: Settings) -> None:
    ledger.pause(settings, by="stop")
    local_services(settings, Console())
    with psycopg.connect(settings.postgres_url) as connection:
        assert connection.execute("select paused_by from lake.looks").fetchone() == (None,)
