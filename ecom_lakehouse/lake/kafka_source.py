"""Reading exact ranges of Kafka offsets as a Spark frame, the same on every engine.

Spark has a source named `kafka`. Sail has none: there the messages come out of a `mapInArrow` on confluent-kafka,
with the same columns. (Sail takes Python data sources too, but hands their batches on without letting go of
Python's lock; whoever reads them in Python then waits for ever once 16 batches are on their way.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pyspark.sql import functions as sf
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from ecom_lakehouse.errors import TopicError
from ecom_lakehouse.lake import kafka_batches
from ecom_lakehouse.lake.kafka_clients import client_options, java_client_options
from ecom_lakehouse.lake.offsets import OffsetRange, shared_out
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

MESSAGES = StructType(
    [
        StructField("key", BinaryType()),
        StructField("value", BinaryType()),
        StructField("topic", StringType()),
        StructField("partition", IntegerType()),
        StructField("offset", LongType()),
        StructField("timestamp", TimestampType()),
        StructField("timestampType", IntegerType()),
        StructField(
            "headers",
            ArrayType(StructType([StructField("key", StringType()), StructField("value", BinaryType())])),
        ),
    ]
)
"""A frame of Kafka messages, as Spark's own source gives it with `includeHeaders`."""

REQUEST_TIMEOUT_SECONDS = 10

MESSAGES_WORTH_A_READER = 20_000
"""Below this a second consumer costs more than it brings; and a small slice stays one file."""


def read_ranges(spark: SparkSession, settings: Settings, ranges: Sequence[OffsetRange]) -> DataFrame:
    """The committed messages of these ranges, in the columns of `MESSAGES`; lazily read.

    `timestamp` is null where a message has none (or one past the year 9999). The read fails, when it is run,
    if the broker has dropped an offset of a range, ends before one, or is silent for half a minute: messages
    are never skipped.
    """
    wanted = [each for each in ranges if each.offsets]
    if not wanted:
        return spark.createDataFrame([], MESSAGES)
    if settings.spark_remote is None:
        messages = _read_here(spark, settings, wanted)
    else:
        messages = _read_by_spark(spark, settings, wanted)
    timestamp = sf.col("timestamp")
    first, last = sf.lit("1970-01-01").cast("timestamp"), sf.lit("9999-12-31").cast("timestamp")
    return messages.withColumn("timestamp", sf.when(timestamp.between(first, last), timestamp))


def _read_here(spark: SparkSession, settings: Settings, ranges: Sequence[OffsetRange]) -> DataFrame:
    """As many shares as there are cores, of about as many messages each, each read by a consumer of its own."""
    client = client_options(settings)
    messages = sum(each.offsets for each in ranges)
    cores = len(os.sched_getaffinity(0))
    shares = shared_out(ranges, min(cores, 1 + messages // MESSAGES_WORTH_A_READER))

    def read(numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            for number in batch["id"].to_pylist():
                yield from kafka_batches.batches(client, shares[number])

    return spark.range(0, len(shares), 1, len(shares)).mapInArrow(read, MESSAGES)


def _read_by_spark(spark: SparkSession, settings: Settings, ranges: Sequence[OffsetRange]) -> DataFrame:
    read = spark.read.format("kafka")
    for name, value in java_client_options(settings).items():
        read = read.option(f"kafka.{name}", value)
    return (
        read.option("assign", _by_topic(ranges, None))
        .option("startingOffsets", _by_topic(ranges, "start"))
        .option("endingOffsets", _by_topic(ranges, "end"))
        .option("kafka.isolation.level", "read_committed")
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .load()
    )


def earliest_offsets(settings: Settings, ranges: Sequence[OffsetRange]) -> dict[int, int]:
    """The first offset that Kafka still holds of each partition in the ranges.

    Raises:
        TopicError: the broker cannot be reached, or does not know a partition.
    """
    earliest = OffsetSpec.earliest()
    partitions = {TopicPartition(each.topic, each.partition): earliest for each in ranges}
    if not partitions:
        return {}
    try:
        admin = AdminClient(client_options(settings))
        # First something that any broker answers: asked of a partition's leader before it knows one, a new client
        # comes back to the question after one to three seconds, in one call of twenty.
        admin.describe_cluster(request_timeout=REQUEST_TIMEOUT_SECONDS).result()
        found = admin.list_offsets(partitions, request_timeout=REQUEST_TIMEOUT_SECONDS)
        return {partition.partition: result.result().offset for partition, result in found.items()}
    except KafkaException as error:
        raise TopicError(
            f"The earliest offsets of {ranges[0].topic} cannot be had from {settings.kafka_bootstrap_servers}: "
            f"{error.args[0].str()}. See that the broker is up (`lakehouse ps`)."
        ) from error


def topic_id(settings: Settings, topic: str) -> str:
    """The id of the topic of that name as it is now: one made anew has another.

    Raises:
        TopicError: the broker cannot be reached, or has no such topic.
    """
    admin = AdminClient(client_options(settings))
    try:
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_TIMEOUT_SECONDS)
        return str(described[topic].result().topic_id)
    except KafkaException as error:
        raise TopicError(
            f"Topic {topic} at {settings.kafka_bootstrap_servers} cannot be described: {error.args[0].str()}. "
            "See that the broker is up (`lakehouse ps`) and that the topic exists."
        ) from error


def _by_topic(ranges: Sequence[OffsetRange], bound: str | None) -> str:
    """The ranges as Spark's options have them: partitions by topic, or one of their bounds by partition."""
    topics: dict[str, dict[str, int]] = {}
    for each in ranges:
        topics.setdefault(each.topic, {})[str(each.partition)] = getattr(each, bound) if bound else 0
    if bound is None:
        return json.dumps({topic: [int(partition) for partition in of] for topic, of in topics.items()})
    return json.dumps(topics)
