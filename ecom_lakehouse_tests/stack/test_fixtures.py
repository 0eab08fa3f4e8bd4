"""The ground that all other tests stand on: real servers, and nothing shared between tests."""

from __future__ import annotations

import psycopg
import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, TopicPartition

from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.conftest import Produce


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_a_migrated_database_of_its_own(settings: Settings, attempt: int) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        row = connection.execute(
            "select (select count(*) from serving.kpi_minute), current_user, current_setting('timezone')"
        ).fetchone()
        assert row == (0, "app", "UTC")
        connection.execute("insert into serving.kpi_minute values ('2026-01-31T12:00Z', 'revenue', 1)")


def test_the_api_role_reads_and_changes_nothing(settings: Settings) -> None:
    with psycopg.connect(settings.api_postgres_url) as connection:
        assert connection.execute("select count(*) from serving.kpi_minute").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from serving.kpi_minute")


def test_messages_keep_key_value_headers_and_get_the_brokers_time(
    settings: Settings, topic: str, produce: Produce
) -> None:
    produce(topic, [(b"\xff", None, [("trace", b"\x00"), ("trace", None)])], partition=2)
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, 2, 0)])
    message = consumer.poll(20)
    consumer.close()
    assert message is not None
    assert message.error() is None
    assert (message.key(), message.value()) == (b"\xff", None)
    assert message.headers() == [("trace", b"\x00"), ("trace", None)]
    assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
