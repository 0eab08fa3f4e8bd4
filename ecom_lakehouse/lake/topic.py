"""What Kafka says of the topic: which incarnation it is, and the offsets it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from ecom_lakehouse.errors import TopicError
from ecom_lakehouse.lake.kafka_clients import client_options
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.settings import Settings

REQUEST_TIMEOUT_SECONDS = 10
CONSUMER_GROUP = "ecom-lakehouse"


@dataclass(frozen=True)
class TopicSnapshot:
    """One look at the topic; offsets by Kafka partition.

    `stable_end` is the last stable offset: everything below it is committed or aborted for good.
    """

    topic: str
    topic_id: str
    cluster_id: str
    seen_at: datetime
    earliest: dict[int, int]
    stable_end: dict[int, int]


def look_at_topic(settings: Settings) -> TopicSnapshot:
    """The topic as it is now; takes under 20 seconds whatever the broker does.

    Raises:
        TopicError: the broker cannot be reached, or has no such topic.
    """
    admin = AdminClient(client_options(settings))
    # Taken before the offsets are asked for: what arrived up to here is below the ends.
    seen_at = datetime.now(UTC)
    try:
        cluster = admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_SECONDS).result()
        described = admin.describe_topics(
            TopicCollection([settings.topic]), request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        description = described[settings.topic].result()
        partitions = [TopicPartition(settings.topic, each.id) for each in description.partitions]
        earliest = _offsets(admin, partitions, OffsetSpec.earliest())
        stable_end = _offsets(admin, partitions, OffsetSpec.latest())
    except KafkaException as error:
        raise TopicError(
            f"Topic {settings.topic} at {settings.kafka_bootstrap_servers} cannot be read: "
            f"{error.args[0].str()}. See that the broker is up (`lakehouse ps`) and that the topic exists "
            "(`lakehouse topics` creates it locally)."
        ) from error
    return TopicSnapshot(
        topic=settings.topic,
        topic_id=str(description.topic_id),
        cluster_id=cluster.cluster_id,
        seen_at=seen_at,
        earliest=earliest,
        stable_end=stable_end,
    )


def commit_group_offsets(settings: Settings, ranges: tuple[OffsetRange, ...]) -> str | None:
    """Tells Kafka how far Bronze has come, for lag monitors only: nothing here ever reads it back.

    Never backwards: an old hour that is rebuilt is no lag. Gives why Kafka did not take it, None when it did: a
    monitor's number is no reason to stop the pipeline.
    """
    admin = AdminClient(client_options(settings))
    try:
        group = ConsumerGroupTopicPartitions(CONSUMER_GROUP)
        listed = admin.list_consumer_group_offsets([group], request_timeout=REQUEST_TIMEOUT_SECONDS)
        known = listed[CONSUMER_GROUP].result().topic_partitions
        committed = {(each.topic, each.partition): each.offset for each in known}
        offsets = [
            TopicPartition(each.topic, each.partition, each.end)
            for each in ranges
            if each.end > committed.get((each.topic, each.partition), -1)
        ]
        if not offsets:
            return None
        requests = admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(CONSUMER_GROUP, offsets)], request_timeout=REQUEST_TIMEOUT_SECONDS
        )
        for request in requests.values():
            request.result()
    except KafkaException as error:
        return f"not committed: {error.args[0].str()}"
    return None


def _offsets(admin: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
    found = admin.list_offsets(
        dict.fromkeys(partitions, spec),
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=REQUEST_TIMEOUT_SECONDS,
    )
    return {partition.partition: result.result().offset for partition, result in found.items()}
