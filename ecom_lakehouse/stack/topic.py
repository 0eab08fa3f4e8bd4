"""The topic of raw events: made where it is missing, and how far the lake has come in it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.kafka_clients import client_options
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.topic import look_at_topic
from ecom_lakehouse.settings import Settings

CREATE_SECONDS = 15
POLL_SECONDS = 0.02
MILLISECONDS_PER_HOUR = 3_600_000


def create_topic(settings: Settings, partitions: int | None = None, **config: str) -> bool:
    """Creates the topic with the broker's clock as the messages' time; False if it is there already.

    Raises:
        StackError: Kafka refused or cannot be reached.
    """
    admin = AdminClient({**client_options(settings)})
    count = partitions or settings.topic_partitions
    topic = NewTopic(
        settings.topic,
        num_partitions=count,
        config={
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(settings.topic_retention_hours * MILLISECONDS_PER_HOUR),
            **config,
        },
    )
    try:
        admin.create_topics([topic], operation_timeout=CREATE_SECONDS)[settings.topic].result(CREATE_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise StackError(
            f"topic {settings.topic} could not be created on {settings.kafka_bootstrap_servers}: {error}; "
            "is Kafka up (`make ps`)?"
        ) from error
    _wait_until_readable(admin, settings.topic, count)
    return True


def _wait_until_readable(admin: AdminClient, topic: str, partitions: int) -> None:
    """The controller answers before the broker leads: waits until each partition tells its offsets."""
    wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(partitions)}
    deadline = time.monotonic() + CREATE_SECONDS
    while True:
        try:
            for offset in admin.list_offsets(wanted, request_timeout=CREATE_SECONDS).values():
                offset.result()
            return
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise StackError(
                    f"topic {topic} was created, but cannot be read after {CREATE_SECONDS} s: {error}; "
                    "see Kafka's log (`make logs NAMES=kafka`)."
                ) from error
            time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class PartitionRow:
    """A Kafka partition, and how far the lake's plan has come in it; `position` is None before the first slice."""

    partition: int
    earliest: int
    end: int
    position: int | None

    @property
    def lag(self) -> int:
        """Messages that no slice holds yet."""
        return self.end - max(self.earliest, self.position or 0)


def partition_rows(settings: Settings) -> list[PartitionRow]:
    """The topic's partitions in order, with Kafka's offsets and the ledger's positions."""
    seen = look_at_topic(settings)
    with connect(settings) as connection:
        positions = Ledger(connection).positions(seen.topic_id)
    return [
        PartitionRow(partition, seen.earliest[partition], end, positions.get(partition))
        for partition, end in sorted(seen.stable_end.items())
    ]
