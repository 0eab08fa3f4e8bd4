"""The topic of raw events on the local Kafka."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.lake.kafka_clients import client_options
from ecom_lakehouse.settings import Settings

CREATE_SECONDS = 15
MILLISECONDS_PER_HOUR = 3_600_000


def create_topic(settings: Settings, partitions: int | None = None, **config: str) -> bool:
    """Creates the topic with the broker's clock as the messages' time; False if it is there already.

    Raises:
        StackError: Kafka refused or cannot be reached.
    """
    admin = AdminClient({**client_options(settings)})
    topic = NewTopic(
        settings.topic,
        num_partitions=partitions or settings.topic_partitions,
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
    return True
