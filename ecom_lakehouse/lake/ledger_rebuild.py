"""The ledger made anew from Bronze: after Postgres was restored from an older dump, or lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from ecom_lakehouse.errors import LedgerError, TopicError
from ecom_lakehouse.lake.kafka_source import read_ranges
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.lake.session import WriterSession, writer_session
from ecom_lakehouse.lake.topic import TopicSnapshot, look_at_topic
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SLICES_IN_BRONZE = """
SELECT slice_id, ingest_date, ingest_hour, kafka_topic, kafka_partition,
       min(kafka_offset) AS first, max(kafka_offset) AS last, count(*) AS rows, max(kafka_timestamp) AS newest
FROM {bronze}
GROUP BY slice_id, ingest_date, ingest_hour, kafka_topic, kafka_partition
ORDER BY slice_id, kafka_partition
"""


@dataclass(frozen=True)
class StoredRange:
    """What Bronze holds of one slice and Kafka partition: offsets `first` to `last`, both stored."""

    slice_id: int
    hour: datetime
    topic: str
    partition: int
    first: int
    last: int
    rows: int
    newest: datetime


def rebuild_from_bronze(settings: Settings) -> int:
    """Replaces the ledger by what Bronze holds, in one transaction; gives the number of slices.

    Every slice then lacks Silver and Gold, and the sensor writes them anew in order. A range begins where the
    one before it ended, so offsets that hold no message (control records) fall to the later slice. When a
    slice was planned is taken from its newest message.

    Raises:
        WriterBusyError: a run is writing.
        TopicError: the topic is not the one that Bronze was read from.
        LedgerError: Bronze is empty, or two slices hold the same offsets.
    """
    with writer_session(settings, "rebuild-ledger", wait_seconds=0) as session:
        stored = stored_ranges(session)
        if not stored:
            raise LedgerError(
                f"{session.lake.bronze.uri} holds no rows: there is nothing to make a ledger from."
            )
        snapshot = look_at_topic(settings)
        topic_ids = incarnations(session.ledger, snapshot, stored)
        of_now = [each for each in stored if topic_ids[each.slice_id] == snapshot.topic_id]
        require_same_topic(session, snapshot, of_now)
        with session.ledger.connection.transaction():
            replace_ledger(session.ledger, snapshot, stored, topic_ids)
    return len({each.slice_id for each in stored})


def stored_ranges(session: WriterSession) -> list[StoredRange]:
    """What Bronze holds, by slice and Kafka partition, in order."""
    bronze: DataFrame = session.lake.bronze.read(session.spark)
    rows = session.spark.sql(SLICES_IN_BRONZE, bronze=bronze).toArrow()
    newest = rows["newest"].cast(pa.timestamp("us")).to_pylist()
    return [
        StoredRange(
            slice_id=row["slice_id"],
            hour=_hour(row["ingest_date"], row["ingest_hour"]),
            topic=row["kafka_topic"],
            partition=row["kafka_partition"],
            first=row["first"],
            last=row["last"],
            rows=row["rows"],
            newest=moment.replace(tzinfo=UTC),
        )
        for row, moment in zip(rows.drop(["newest"]).to_pylist(), newest, strict=True)
    ]


def incarnations(ledger: Ledger, snapshot: TopicSnapshot, stored: Iterable[StoredRange]) -> dict[int, str]:
    """The id of the topic that each slice was read from: as the ledger has it, else told by the offsets.

    Bronze knows topics by name. Where the offsets of a name go back, it was made anew; the last incarnation of
    the topic is the one that Kafka has.

    Raises:
        TopicError: the ledger knows the topic by another id: it was made anew and not adopted.
    """
    adopted = ledger.adopted_topics(snapshot.topic)
    if adopted and adopted[0]["topic_id"] != snapshot.topic_id:
        raise TopicError(
            f"Topic {snapshot.topic} was made anew (its id is {snapshot.topic_id}, the ledger knows "
            f"{adopted[0]['topic_id']}). Nothing was written; run `lakehouse adopt-topic` first."
        )
    known = ledger.topic_ids()
    by_slice: dict[int, list[StoredRange]] = {}
    for each in stored:
        by_slice.setdefault(each.slice_id, []).append(each)
    current: dict[str, str] = {}
    ends: dict[tuple[str, int], int] = {}
    found: dict[int, str] = {}
    for slice_id, ranges in sorted(by_slice.items()):
        topic = ranges[0].topic
        topic_id = known.get(slice_id) or current.get(topic)
        goes_back = any(each.first < ends.get((topic_id or "", each.partition), 0) for each in ranges)
        if topic_id is None or (goes_back and slice_id not in known):
            topic_id = f"{topic} from slice {slice_id} on"
        found[slice_id] = current[topic] = topic_id
        ends |= {(topic_id, each.partition): each.last + 1 for each in ranges}
    last = current.get(snapshot.topic)
    if last is not None and last not in known.values():
        found = {slice_id: snapshot.topic_id if each == last else each for slice_id, each in found.items()}
    return found


def require_same_topic(
    session: WriterSession, snapshot: TopicSnapshot, stored: Iterable[StoredRange]
) -> None:
    """Kafka's topic is the one that Bronze was read from: long enough, and the last stored messages are there.

    Raises:
        TopicError: it is another one; a partition ends before Bronze does, or holds another message.
    """
    last = {each.partition: each for each in stored if each.topic == snapshot.topic}
    for partition, each in last.items():
        end = snapshot.stable_end.get(partition, 0)
        if end <= each.last:
            raise TopicError(
                f"Topic {snapshot.topic}, partition {partition} ends at offset {end}, but Bronze holds offset "
                f"{each.last}: this is not the topic that Bronze was read from. Nothing was written; point "
                "LAKEHOUSE_KAFKA_BOOTSTRAP_SERVERS and LAKEHOUSE_TOPIC at that one."
            )
    held = [
        OffsetRange(snapshot.topic, partition, each.last, each.last + 1)
        for partition, each in last.items()
        if snapshot.earliest[partition] <= each.last
    ]
    in_kafka = read_ranges(session.spark, session.settings, held)
    in_kafka = in_kafka.selectExpr("partition", "timestamp").toArrow()
    for row in in_kafka.to_pylist():
        each = last[row["partition"]]
        stamp = row["timestamp"].replace(tzinfo=UTC)
        if stamp != _timestamp_in_bronze(session, each):
            raise TopicError(
                f"Topic {snapshot.topic}, partition {each.partition} holds at offset {each.last} another message "
                f"({stamp.isoformat()}) than Bronze: it was made anew. Nothing was written."
            )


def replace_ledger(
    ledger: Ledger, snapshot: TopicSnapshot, stored: Iterable[StoredRange], topic_ids: Mapping[int, str]
) -> None:
    """Writes the slices that Bronze holds in the place of those that the ledger has; call it in a transaction.

    What is known to be lost stays known, at the slice that now spans it.
    """
    run = ledger.connection.execute
    run(
        "create temp table known_lost on commit drop as"
        " select s.topic_id, l.* from lake.lost_offsets l join lake.slices s using (slice_id)"
    )
    run("delete from lake.topic_progress")
    run("delete from lake.slices")
    run("delete from lake.checks")
    run("update lake.looks set caught_up_at = null, last_slice_id = 0, blocked = null")
    ledger.adopt_topic(snapshot)
    by_slice: dict[int, list[StoredRange]] = {}
    for each in stored:
        by_slice.setdefault(each.slice_id, []).append(each)
    positions: dict[str, dict[int, int]] = {}
    for slice_id, ranges in sorted(by_slice.items()):
        topic_id = topic_ids[slice_id]
        run(
            "insert into lake.topics (topic_id, cluster_id, topic, adopted_at) values (%s, %s, %s, 'epoch')"
            " on conflict do nothing",
            (topic_id, snapshot.cluster_id, ranges[0].topic),
        )
        ends = positions.setdefault(topic_id, {})
        starts = ledger.starts(topic_id) | ends
        run(
            "insert into lake.slices (slice_id, topic_id, planned_at, planned_hour, reaches_end, next_layer,"
            " bronze_at, bronze_rows, run_id) values (%s, %s, %s, %s, false, 'silver', now(), %s, 'rebuild-ledger')",
            (
                slice_id,
                topic_id,
                max(each.newest for each in ranges),
                ranges[0].hour,
                sum(each.rows for each in ranges),
            ),
        )
        ledger.add_ranges(slice_id, topic_id, [_planned(each, starts) for each in ranges], ends)
        for each in ranges:
            run(
                "update lake.slice_ranges set bronze_rows = %s where slice_id = %s and kafka_partition = %s",
                (each.rows, slice_id, each.partition),
            )
            ends[each.partition] = each.last + 1
    run(
        "insert into lake.lost_offsets"
        " select r.slice_id, l.kafka_partition, l.start_offset, l.end_offset, l.noticed_at from known_lost l"
        " join lake.slice_ranges r on r.topic_id = l.topic_id and r.kafka_partition = l.kafka_partition"
        "  and l.start_offset >= r.start_offset and l.start_offset < r.end_offset on conflict do nothing"
    )
    # Gold may hold minutes that came from what the older dump knew and Silver no longer has.
    run(
        "insert into lake.dirty_minutes (minute, slice_id) select distinct window_start, %s from serving.kpi_minute"
        " on conflict do nothing",
        (max(by_slice),),
    )


def _planned(each: StoredRange, positions: Mapping[int, int]) -> OffsetRange:
    start = positions.get(each.partition, each.first)
    if each.first < start:
        raise LedgerError(
            f"Bronze holds offset {each.first} of Kafka partition {each.partition} in slice {each.slice_id} and in "
            "an earlier slice of the same topic: it was written without a ledger. Nothing was changed; restore the "
            "newest dump of Postgres that there is (docs/runbook.md), or compare the two slices by `lakehouse sql`."
        )
    return OffsetRange(each.topic, each.partition, start, each.last + 1)


def _timestamp_in_bronze(session: WriterSession, each: StoredRange) -> datetime:
    columns = ["kafka_partition", "kafka_offset", "kafka_timestamp"]
    rows = session.lake.bronze.slice_arrow(each.slice_id, each.hour, columns).to_pylist()
    found = [
        row["kafka_timestamp"]
        for row in rows
        if (row["kafka_partition"], row["kafka_offset"]) == (each.partition, each.last)
    ]
    stamp: datetime = found[0]
    return stamp.replace(tzinfo=UTC)


def _hour(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
