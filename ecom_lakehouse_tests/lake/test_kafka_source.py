"""Exact offset ranges of a real Kafka, as a Spark frame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from ecom_lakehouse.errors import LakehouseError, TopicError
from ecom_lakehouse.lake import kafka_batches, kafka_source
from ecom_lakehouse.lake.engine import refusal, spark_session
from ecom_lakehouse.lake.kafka_clients import client_options
from ecom_lakehouse.lake.kafka_source import MESSAGES, earliest_offsets, read_ranges
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.conftest import Produce
from ecom_lakehouse_tests.lake.raw_producer import send_raw_record


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    with spark_session(Settings(_env_file=None)) as session:
        yield session


def offsets(frame: DataFrame) -> list[tuple[int, int]]:
    rows = frame.select("partition", "offset").toArrow().to_pylist()
    return sorted((row["partition"], row["offset"]) for row in rows)


def refused(frame: DataFrame) -> LakehouseError:
    with pytest.raises(PySparkException) as raised:
        frame.count()
    error = refusal(raised.value)
    assert error is not None, raised.value
    return error


def drop_before(settings: Settings, topic: str, partition: int, offset: int) -> None:
    admin = AdminClient(client_options(settings))
    for result in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        result.result()


def set_topic_option(settings: Settings, topic: str, name: str, value: str) -> None:
    admin = AdminClient(client_options(settings))
    change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    for result in admin.incremental_alter_configs([resource]).values():
        result.result()


def transactional(settings: Settings) -> Producer:
    producer = Producer({**client_options(settings), "transactional.id": settings.topic})
    producer.init_transactions(10)
    return producer


def test_a_range_is_read_from_its_start_up_to_before_its_end(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce
) -> None:
    for partition in range(3):
        produce(topic, [("k", f"{partition}:{number}") for number in range(10)], partition)
    wanted = [OffsetRange(topic, 0, 2, 5), OffsetRange(topic, 1, 0, 10), OffsetRange(topic, 2, 4, 4)]
    messages = read_ranges(spark, settings, wanted)
    assert messages.schema == MESSAGES
    assert offsets(messages) == [(0, 2), (0, 3), (0, 4)] + [(1, offset) for offset in range(10)]
    values = {(row.partition, row.offset): bytes(row.value).decode() for row in messages.collect()}
    assert values[0, 3] == "0:3"


def test_no_ranges_are_an_empty_frame(spark: SparkSession, settings: Settings) -> None:
    messages = read_ranges(spark, settings, [OffsetRange("nowhere", 0, 7, 7)])
    assert messages.schema == MESSAGES
    assert messages.count() == 0


def test_a_large_range_of_one_partition_is_read_once_by_several_readers(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = []
    read = kafka_batches.batches

    def counted(client: Mapping[str, str], ranges: Sequence[OffsetRange]) -> Iterator[pa.RecordBatch]:
        shares.append(ranges)
        return read(client, ranges)

    monkeypatch.setattr(kafka_batches, "batches", counted)
    produce(topic, [(None, b"x")] * 50_000, 1)
    messages = read_ranges(spark, settings, [OffsetRange(topic, 1, 0, 50_000)])
    assert offsets(messages) == [(1, offset) for offset in range(50_000)]
    assert len(shares) == min(3, len(os.sched_getaffinity(0)))


@pytest.mark.timeout(60)
def test_any_number_of_batches_flow_into_a_python_function(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_batches, "BATCH_MESSAGES", 100)
    produce(topic, [(None, b"x")] * 10_000, 1)

    def slowly(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(0.002)
            yield batch.select(["offset"])

    messages = read_ranges(spark, settings, [OffsetRange(topic, 1, 0, 10_000)])
    assert messages.mapInArrow(slowly, "offset LONG").count() == 10_000


def test_keys_values_and_headers_come_as_they_are(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce
) -> None:
    headers = [("a", b"\xff\x00"), ("a", None), ("ü", b"")]
    produce(topic, [(None, None), (b"", b""), (b"\xfe", b"\xff", headers)], 0)
    rows = read_ranges(spark, settings, [OffsetRange(topic, 0, 0, 3)]).orderBy("offset").collect()
    assert [(row.key, row.value) for row in rows] == [(None, None), (b"", b""), (b"\xfe", b"\xff")]
    assert [row.headers for row in rows[:2]] == [None, None]
    assert [(each.key, each.value) for each in rows[2].headers] == headers


def test_header_keys_that_are_no_text_stop_nothing(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce
) -> None:
    # Python treats a call otherwise once it was made often enough: that is where a whole process once crashed.
    produce(topic, [(None, b"plain", [("a", b"b")])] * 100, 0)
    headers = [(b"trace\xff", b"\x01"), (b"plain", None)]
    for _ in range(20):
        send_raw_record(settings.kafka_bootstrap_servers, topic, 0, b"value", headers)
    rows = read_ranges(spark, settings, [OffsetRange(topic, 0, 0, 120)]).orderBy("offset").collect()
    assert [row.value for row in rows] == [b"plain"] * 100 + [b"value"] * 20
    assert {(each.key, each.value) for row in rows[:100] for each in row.headers} == {("a", b"b")}
    assert [[(each.key, each.value) for each in row.headers] for row in rows[100:]] == [
        [("\ufffd", None)]
    ] * 20


def test_the_brokers_timestamp_is_told_from_the_producers(
    spark: SparkSession, settings: Settings, topic: str, kafka_broker: object
) -> None:
    producer = Producer(client_options(settings))
    producer.produce(topic, b"by the broker", partition=0, timestamp=86_400_000)
    producer.flush(10)
    set_topic_option(settings, topic, "message.timestamp.type", "CreateTime")
    producer.produce(topic, b"by the producer", partition=0, timestamp=86_400_000)
    producer.flush(10)
    rows = read_ranges(spark, settings, [OffsetRange(topic, 0, 0, 2)]).orderBy("offset").collect()
    assert [row.timestampType for row in rows] == [1, 0]
    assert abs(rows[0].timestamp.timestamp() - time.time()) < 60
    assert rows[1].timestamp.timestamp() == 86_400


@pytest.mark.parametrize("milliseconds", [-1, 253_402_300_800_000, 2**63 - 1])
def test_a_message_without_a_usable_timestamp_has_none(milliseconds: int) -> None:
    class Stub:
        """A message as confluent-kafka gives it; a broker of today refuses to store such times."""

        def key(self) -> None: ...
        def value(self) -> None: ...
        def headers(self) -> None: ...
        def offset(self) -> int:
            return 5

        def timestamp(self) -> tuple[int, int]:
            return (0 if milliseconds < 0 else 1, milliseconds)

    batch = kafka_batches._batch(OffsetRange("t", 0, 5, 6), [Stub()])  # type: ignore[list-item]
    assert batch["timestamp"].cast("int64").to_pylist() == [-1000]
    assert batch["timestampType"].to_pylist() == [-1 if milliseconds < 0 else 0]


def test_aborted_messages_and_control_records_are_not_messages(
    spark: SparkSession, settings: Settings, topic: str
) -> None:
    producer = transactional(settings)
    for commit in (True, False, True, False):
        producer.begin_transaction()
        for number in range(3):
            producer.produce(topic, f"{commit}{number}", partition=0)
        producer.flush(10)
        producer.commit_transaction(10) if commit else producer.abort_transaction(10)
    # Three messages and a control record each; the last range ends in an aborted transaction.
    committed = [(0, offset) for offset in (0, 1, 2, 8, 9, 10)]
    assert offsets(read_ranges(spark, settings, [OffsetRange(topic, 0, 0, 16)])) == committed
    assert offsets(read_ranges(spark, settings, [OffsetRange(topic, 0, 3, 8)])) == []
    assert offsets(read_ranges(spark, settings, [OffsetRange(topic, 0, 3, 9)])) == [(0, 8)]


def test_compacted_offsets_are_no_gaps(spark: SparkSession, settings: Settings) -> None:
    admin = AdminClient(client_options(settings))
    options = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
        "segment.ms": "100",
    }
    new = NewTopic(settings.topic, 1, 1, config=options)
    admin.create_topics([new])[settings.topic].result()
    producer = Producer(client_options(settings))
    wanted = OffsetRange(settings.topic, 0, 0, 21)
    for number in range(20):
        producer.produce(settings.topic, str(number), "same key", partition=0)
    producer.flush(10)
    read: list[tuple[int, int]] = []
    deadline = time.monotonic() + 60
    ends = 20
    while len(read) != 2 and time.monotonic() < deadline:
        # Only a rolled segment is compacted, and only a new message rolls one.
        producer.produce(settings.topic, "last", "other key", partition=0)
        producer.flush(10)
        ends += 1
        read = offsets(read_ranges(spark, settings, [OffsetRange(settings.topic, 0, 0, 21)]))
        if (0, 0) not in read:
            break
    assert (0, 0) not in read
    assert len(offsets(read_ranges(spark, settings, [wanted]))) <= 2


def test_dropped_offsets_fail_the_read_and_are_told(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce
) -> None:
    produce(topic, [(None, b"x")] * 10, 0)
    drop_before(settings, topic, 0, 4)
    wanted = [OffsetRange(topic, 0, 0, 10)]
    error = refused(read_ranges(spark, settings, wanted))
    assert isinstance(error, TopicError)
    assert f"{topic}[0] offsets 0 to 9" in str(error)
    assert "retention" in str(error)
    assert earliest_offsets(settings, wanted) == {0: 4}


def test_a_partition_that_ends_before_the_range_fails_the_read(
    spark: SparkSession, settings: Settings, topic: str, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_batches, "SILENCE_SECONDS", 1.0)
    produce(topic, [(None, b"x")] * 3, 0)
    error = refused(read_ranges(spark, settings, [OffsetRange(topic, 0, 0, 5)]))
    assert "ends at offset 3" in str(error)


def test_a_broker_that_is_away_fails_the_read(
    spark: SparkSession,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(kafka_batches, "SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(kafka_source, "REQUEST_TIMEOUT_SECONDS", 1)
    away = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    error = refused(read_ranges(spark, away, [OffsetRange("t", 0, 0, 5)]))
    assert "nothing came for" in str(error)
    with pytest.raises(TopicError, match=r"127\.0\.0\.1:1"):
        earliest_offsets(away, [OffsetRange("t", 0, 0, 5)])


def test_large_messages_come_in_batches_of_bounded_size(
    settings: Settings, topic: str, kafka_broker: object
) -> None:
    set_topic_option(settings, topic, "max.message.bytes", str(11 * 1024 * 1024))
    producer = Producer(
        {**client_options(settings), "message.max.bytes": 11 * 1024 * 1024, "compression.type": "zstd"}
    )
    for _ in range(30):
        producer.produce(topic, b"x" * 10_000_000, partition=0)
        producer.flush(30)
    read = kafka_batches.batches(client_options(settings), [OffsetRange(topic, 0, 0, 30)])
    sizes = [(batch.num_rows, batch.nbytes) for batch in read]
    assert sum(rows for rows, _ in sizes) == 30
    assert max(size for _, size in sizes) < 17_000_000
