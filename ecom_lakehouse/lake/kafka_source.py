"""Reading exact ranges of Kafka offsets as a Spark frame, the same on every engine.

Spark has a source named `kafka`. Sail has none, so `KafkaDataSource` is one of the same name, options and
schema on confluent-kafka; `read_ranges` asks either the same way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pyspark.sql import functions as sf
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
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
    clients = client_options(settings) if settings.spark_remote is None else java_client_options(settings)
    read = spark.read.format("kafka")
    for name, value in clients.items():
        read = read.option(f"kafka.{name}", value)
    messages = (
        read.option("assign", _by_topic(wanted, None))
        .option("startingOffsets", _by_topic(wanted, "start"))
        .option("endingOffsets", _by_topic(wanted, "end"))
        .option("kafka.isolation.level", "read_committed")
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .load()
    )
    # Sail takes a Python source's timestamps without a zone; the session's zone is UTC, and so are they.
    timestamp = sf.col("timestamp").cast("timestamp")
    first, last = sf.lit("1970-01-01").cast("timestamp"), sf.lit("9999-12-31").cast("timestamp")
    return messages.withColumn("timestamp", sf.when(timestamp.between(first, last), timestamp))


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
        found = admin.list_offsets(partitions, request_timeout=REQUEST_TIMEOUT_SECONDS)
        return {partition.partition: result.result().offset for partition, result in found.items()}
    except KafkaException as error:
        raise TopicError(
            f"The earliest offsets of {ranges[0].topic} cannot be had from {settings.kafka_bootstrap_servers}: "
            f"{error.args[0].str()}. See that the broker is up (`lakehouse ps`)."
        ) from error


def _by_topic(ranges: Sequence[OffsetRange], bound: str | None) -> str:
    """The ranges as Spark's options have them: partitions by topic, or one of their bounds by partition."""
    topics: dict[str, dict[str, int]] = {}
    for each in ranges:
        topics.setdefault(each.topic, {})[str(each.partition)] = getattr(each, bound) if bound else 0
    if bound is None:
        return json.dumps({topic: [int(partition) for partition in of] for topic, of in topics.items()})
    return json.dumps(topics)


class KafkaDataSource(DataSource):
    """Spark's batch source `kafka` for engines without it.

    It takes the options that `read_ranges` gives: `startingOffsets` and `endingOffsets` (JSON with every offset
    spelled out), and `kafka.…`, librdkafka's by name. It always reads committed messages, headers included,
    and always fails where messages are gone.
    """

    @classmethod
    def name(cls) -> str:
        """The name for `spark.read.format`."""
        return "kafka"

    def schema(self) -> pa.Schema:
        """The columns of `MESSAGES`, as Arrow types: that is what Sail wants."""
        return kafka_batches.MESSAGES

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of the ranges in the options."""
        return KafkaReader(dict(self.options))


class KafkaReader(DataSourceReader):
    """Reads offset ranges in as many shares as there are cores, each by a consumer of its own."""

    def __init__(self, options: Mapping[str, str]) -> None:
        # Engines may hand over options in lower case.
        options = {name.lower(): value for name, value in options.items()}
        self.ranges = _ranges(options["startingoffsets"], options["endingoffsets"])
        self.client = {
            name.removeprefix("kafka."): value for name, value in options.items() if name.startswith("kafka.")
        }

    def partitions(self) -> Sequence[InputPartition]:
        """Shares of about as many messages each."""
        messages = sum(each.offsets for each in self.ranges)
        shares = min(len(os.sched_getaffinity(0)), 1 + messages // MESSAGES_WORTH_A_READER)
        return [InputPartition(share) for share in shared_out(self.ranges, shares)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The messages of one share, in batches of bounded bytes."""
        return kafka_batches.batches(self.client, partition.value)


def _ranges(starting: str, ending: str) -> list[OffsetRange]:
    starts: dict[str, dict[str, Any]] = json.loads(starting)
    ends: dict[str, dict[str, Any]] = json.loads(ending)
    return [
        OffsetRange(topic, int(partition), start, ends[topic][partition])
        for topic, partitions in starts.items()
        for partition, start in partitions.items()
    ]
