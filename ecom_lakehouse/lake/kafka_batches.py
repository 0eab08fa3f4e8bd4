"""Offset ranges read by confluent-kafka into Arrow batches of bounded size."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ecom_lakehouse.errors import TopicError
from ecom_lakehouse.lake.offsets import OffsetRange

MESSAGES = pa.schema(
    [
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("timestampType", pa.int32()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)
"""A batch of messages."""

BATCH_MESSAGES = 8192
BATCH_BYTES = 4 * 1024 * 1024
"""Engines keep up to 16 batches ready between two steps: this bounds what they take."""

POLL_SECONDS = 0.5
SILENCE_SECONDS = 30.0

LAST_MILLISECOND = 253_402_300_799_999
"""The end of the year 9999, the last that Python and SQL can name."""

READER_OPTIONS: dict[str, object] = {
    # Small queues: what is fetched ahead counts for memory, and two cores read from local brokers anyway.
    "queued.max.messages.kbytes": 32 * 1024,
    "fetch.message.max.bytes": 8 * 1024 * 1024,
    # A full queue is emptied within milliseconds here; librdkafka would pause for a second.
    "fetch.queue.backoff.ms": 5,
}
"""What a reader fetches ahead; the user's Kafka options win."""

UNREADABLE_HEADERS = [("\ufffd", None)]
"""Stands for headers with a key that isn't UTF-8: confluent-kafka cannot give any of such a message's.

The message itself is kept. Spark's source gives them, with U+FFFD in the key.
"""

_TRANSIENT = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
"""Errors that librdkafka gets over by itself, or that end in silence. After others it may skip messages."""


def batches(client: Mapping[str, str], ranges: Sequence[OffsetRange]) -> Iterator[pa.RecordBatch]:
    """The committed messages of the ranges, one range after the other, in batches with the schema `MESSAGES`.

    A range ends where the consumer's position passes its end, which need not be a message: control records and
    compacted offsets have none. A batch's values take at most `BATCH_BYTES`, or it is one larger message.

    Raises:
        TopicError: the broker has dropped an offset of a range, its partition ends before the range does, or
            nothing came for `SILENCE_SECONDS`.
    """
    with _consumer(client) as (consumer, problems):
        for each in ranges:
            yield from _range_batches(consumer, problems, each)


@contextmanager
def _consumer(client: Mapping[str, str]) -> Iterator[tuple[Consumer, list[KafkaError]]]:
    """A consumer that takes part in no group and never moves by itself, and the last errors it met."""
    problems: list[KafkaError] = []
    options: dict[str, object] = {
        **READER_OPTIONS,
        **client,
        "group.id": "ecom-lakehouse-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "error_cb": problems.append,
    }
    consumer = Consumer(options)
    try:
        yield consumer, problems
    finally:
        consumer.close()


def _range_batches(
    consumer: Consumer, problems: list[KafkaError], wanted: OffsetRange
) -> Iterator[pa.RecordBatch]:
    consumer.assign([TopicPartition(wanted.topic, wanted.partition, wanted.start)])
    position = wanted.start
    heard = time.monotonic()
    while position < wanted.end:
        first = consumer.poll(POLL_SECONDS)
        if first is None:
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise _silent(wanted, position, problems)
            continue
        # Without waiting: what the queue holds is bounded in bytes, whatever the number asked for.
        taken = [first, *consumer.consume(BATCH_MESSAGES - 1, 0)]
        messages = [each for each in taken if each.error() is None and _is_of(each, wanted, position)]
        if messages:
            position = messages[-1].offset() + 1  # type: ignore[operator]
            heard = time.monotonic()
        for piece in _pieces([each for each in messages if each.offset() < wanted.end]):  # type: ignore[operator]
            yield _batch(wanted, piece)
        for each in taken:
            if each.error() is not None:
                position = max(position, _position_told(each, wanted, problems))


def _pieces(messages: list[Message]) -> Iterator[list[Message]]:
    """The messages in runs of at most `BATCH_BYTES`, or of one message that is larger."""
    if messages and sum(map(len, messages)) <= BATCH_BYTES:
        yield messages
        return
    piece: list[Message] = []
    size = 0
    for message in messages:
        if piece and size + len(message) > BATCH_BYTES:
            yield piece
            piece, size = [], 0
        piece.append(message)
        size += len(message)
    if piece:
        yield piece


def _is_of(message: Message, wanted: OffsetRange, position: int) -> bool:
    """Whether the message is one to come: a queue may still hold some of the range before."""
    return message.partition() == wanted.partition and message.offset() >= position  # type: ignore[operator]


def _position_told(message: Message, wanted: OffsetRange, problems: list[KafkaError]) -> int:
    """The position that an event tells: the partition's end is one, where the consumer stands at it."""
    error = message.error()
    assert error is not None
    if error.code() == KafkaError._PARTITION_EOF:
        # Its offset lies past control records. Below the range's end it counts for nothing: a broker that
        # has just taken over may not know its own end yet, and silence ends the wait.
        problems.append(error)
        return message.offset() or 0 if message.partition() == wanted.partition else 0
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise TopicError(
            f"Kafka no longer holds all of {wanted} ({error.str()}); its retention took them before they were "
            "read. Nothing was skipped: the next attempt reads what is left and records the rest as lost."
        )
    if error.code() not in _TRANSIENT:
        raise TopicError(f"{wanted} cannot be read: {error.str()} ({error.name()}).") from KafkaException(
            error
        )
    problems.append(error)
    return 0


def _silent(wanted: OffsetRange, position: int, problems: list[KafkaError]) -> TopicError:
    if problems and problems[-1].code() == KafkaError._PARTITION_EOF:
        return TopicError(
            f"{wanted} cannot be read: the partition ends at offset {position}. The broker has lost acknowledged "
            "messages, or the topic was made anew."
        )
    last = f"the last error was: {problems[-1].str()}" if problems else "no error was reported"
    return TopicError(
        f"{wanted} cannot be read: nothing came for {SILENCE_SECONDS:.0f} s after offset {position - 1} ({last}). "
        "See that the broker is up (`lakehouse ps`); the next attempt starts the slice anew."
    )


# Called from C on purpose. A header key that isn't UTF-8 makes confluent-kafka give a list with holes *and* set an
# error. A call from C looks for that and raises; the interpreter's own call, once it has become quick, does
# not, and the holes crash the process a little later.
_ask_for_headers = operator.methodcaller("headers")


def _headers(message: Message) -> object:
    """The headers, asked for only once: after a failure another call could crash the process."""
    try:
        return _ask_for_headers(message)
    except (SystemError, UnicodeDecodeError):
        return UNREADABLE_HEADERS


def _batch(wanted: OffsetRange, messages: list[Message]) -> pa.RecordBatch:
    count = len(messages)
    headers = [_headers(each) for each in messages]
    kinds_and_times = [each.timestamp() for each in messages]
    milliseconds = pa.array([time_ for _, time_ in kinds_and_times], pa.int64())
    sane = pc.and_(pc.greater_equal(milliseconds, 0), pc.less_equal(milliseconds, LAST_MILLISECOND))
    columns = [
        pa.array([each.key() for each in messages], pa.binary()),
        pa.array([each.value() for each in messages], pa.binary()),
        pa.repeat(pa.scalar(wanted.topic, pa.string()), count),
        pa.repeat(pa.scalar(wanted.partition, pa.int32()), count),
        pa.array([each.offset() for each in messages], pa.int64()),
        # As Spark has it, -1 ms stands for "none".
        pc.multiply(pc.if_else(sane, milliseconds, -1), 1000).cast(pa.timestamp("us", "UTC")),
        # librdkafka counts none, create, append from 0; Kafka itself, and Spark, from -1.
        pa.array([kind - 1 for kind, _ in kinds_and_times], pa.int32()),
        pa.array(headers, MESSAGES.field("headers").type)
        if any(headers)
        else pa.nulls(count, MESSAGES.field("headers").type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=MESSAGES)
