"""Real Kafka and real Postgres, started once a session; a database and a topic of its own for each test."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaError, Message, Producer

from ecom_lakehouse.lake import database
from ecom_lakehouse.settings import LOCALHOST, PREFIX, Settings
from ecom_lakehouse.stack.child import started
from ecom_lakehouse.stack.jars import fetch_jars
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.postgres import administrator_url, create_roles, postgres_service
from ecom_lakehouse.stack.topic import create_topic
from ecom_lakehouse.stack.watcher import watched

FAST_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
TEMPLATE = "template_lakehouse"
DELIVERY_SECONDS = 20

Row = tuple[bytes | str | None, bytes | str | None, Sequence[tuple[str, bytes | None]]]
"""Key, value and headers of a message; the headers may be left out."""
Produce = Callable[..., None]


@dataclass(frozen=True)
class PostgresServer:
    """A running Postgres with the platform's roles and a migrated template database."""

    folder: Path
    port: int

    def url(self, database: str, role: str = "app") -> str:
        """Where that role finds that database."""
        return f"postgresql://{role}:{role}@{LOCALHOST}:{self.port}/{database}"

    def administrator_url(self, database: str = "postgres") -> str:
        """Where the server's administrator finds it."""
        return administrator_url(self.folder, self.port, database)


@dataclass(frozen=True)
class KafkaBroker:
    """A running Kafka."""

    folder: Path
    port: int

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it."""
        return f"{LOCALHOST}:{self.port}"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Tests mean what they say, whatever the shell that started them has set."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}
    if f"{PREFIX}CACHE" in kept:
        os.environ[f"{PREFIX}CACHE"] = kept[f"{PREFIX}CACHE"]
    yield
    os.environ.update(kept)


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder for the servers' data, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="lakehouse-tests-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def _servers(session_folder: Path) -> Iterator[tuple[KafkaBroker, PostgresServer]]:
    """Both servers, started side by side; Kafka alone takes most of the time."""
    kafka, postgres = session_folder / "kafka", session_folder / "postgres"
    kafka_port, postgres_port = free_port(), free_port()
    jars = fetch_jars(Settings(_env_file=None))

    with watched(session_folder), ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        broker_service = kafka_service(kafka, kafka_port, jars)
        starting = pool.submit(
            stack.enter_context, started(broker_service, kafka / "kafka.log", session_folder)
        )
        server_service = postgres_service(postgres, postgres_port, options=FAST_NOT_DURABLE)
        with started(server_service, postgres / "postgres.log", session_folder):
            create_roles(postgres, postgres_port)
            server = PostgresServer(postgres, postgres_port)
            _make_template(server)
            starting.result()
            yield KafkaBroker(kafka, kafka_port), server


@pytest.fixture(scope="session")
def kafka_broker(_servers: tuple[KafkaBroker, PostgresServer]) -> KafkaBroker:
    """A real Kafka of this session."""
    return _servers[0]


@pytest.fixture(scope="session")
def postgres_server(_servers: tuple[KafkaBroker, PostgresServer]) -> PostgresServer:
    """A real Postgres of this session."""
    return _servers[1]


def _make_template(server: PostgresServer) -> None:
    with psycopg.connect(server.administrator_url(), autocommit=True) as connection:
        connection.execute(f"create database {TEMPLATE} owner app")
    database.migrate(Settings(_env_file=None, postgres_url=server.url(TEMPLATE)))


_numbers = itertools.count(1)


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a migrated database of the test's own; gone after it, whoever is still connected."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_server.administrator_url(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner app template {TEMPLATE}")
        yield name
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def settings(
    tmp_path: Path, kafka_broker: KafkaBroker, postgres_server: PostgresServer, empty_database: str
) -> Settings:
    """Settings with a home, a database and a name for a topic of the test's own."""
    return Settings(
        _env_file=None,
        home=tmp_path / "home",
        kafka_bootstrap_servers=kafka_broker.bootstrap_servers,
        postgres_url=postgres_server.url(empty_database),
        api_postgres_url=postgres_server.url(empty_database, role="lakehouse_api"),
        dagster_postgres_url=postgres_server.url("dagster"),
        topic="ecom.events." + empty_database.replace("_", "-"),
        # where nobody answers, though the developer's own stack may be running
        dagster_port=free_port(),
    )


@pytest.fixture
def topic(settings: Settings) -> str:
    """The settings' topic, made with three partitions and the broker's clock."""
    create_topic(settings)
    return settings.topic


@pytest.fixture
def produce(kafka_broker: KafkaBroker) -> Iterator[Produce]:
    """Sends messages and waits until Kafka has acknowledged each: `produce(topic, rows, partition=None)`."""
    producer = Producer(
        {"bootstrap.servers": kafka_broker.bootstrap_servers, "enable.idempotence": True, "linger.ms": 0}
    )

    def send(topic: str, rows: Sequence[Row], partition: int | None = None) -> None:
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        where = {} if partition is None else {"partition": partition}
        for key, value, *rest in rows:
            headers = list(rest[0]) if rest and rest[0] else None
            while True:
                try:
                    producer.produce(
                        topic, key=key, value=value, headers=headers, on_delivery=delivered, **where
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        left = producer.flush(DELIVERY_SECONDS)
        assert not failures, failures[0]
        assert left == 0, f"{left} messages were not delivered within {DELIVERY_SECONDS} s"

    yield send
    producer.flush(DELIVERY_SECONDS)
