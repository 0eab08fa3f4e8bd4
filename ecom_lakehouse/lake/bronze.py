"""Kafka → Bronze: a slice's messages, as they came."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ecom_lakehouse.core.bronze import bronze_rows
from ecom_lakehouse.core.slices import SliceStamp
from ecom_lakehouse.errors import TableError
from ecom_lakehouse.lake.guards import require_ledger_knows_bronze, require_rows_inside_ranges
from ecom_lakehouse.lake.kafka_source import earliest_offsets, read_ranges, topic_id
from ecom_lakehouse.lake.ledger import Slice
from ecom_lakehouse.lake.offsets import OffsetRange, clamped
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.topic import commit_group_offsets

COORDINATES = ["kafka_partition", "kafka_offset"]
FROM_BRONZE = (
    "Rebuild Silver and Gold from what Bronze holds: materialize the hour with silver_events, quarantine_events "
    "and kpi_minute."
)


@dataclass(frozen=True)
class BronzeSlice:
    """What Bronze holds of a slice now: rows, bytes and files; `lost` is what Kafka no longer had."""

    slice: Slice
    rows: int
    bytes: int
    files: int
    lost: tuple[OffsetRange, ...]
    kept: bool
    group_offsets: str
    seconds: float


def write_bronze(session: WriterSession, slice_: Slice) -> BronzeSlice:
    """Replaces exactly this slice's rows in Bronze by what Kafka holds, and marks it.

    Rows that are stored stay as they are (`kept`) when Kafka no longer holds every one of them. Of a topic that
    was made anew since the slice was planned nothing is read: its offsets are other messages.

    Raises:
        LedgerError: the lake and the ledger disagree, or the right to write is gone.
        TopicError: Kafka cannot be read.
    """
    started = time.monotonic()
    bronze = session.lake.bronze
    require_ledger_knows_bronze(session.ledger, session.lake)
    require_rows_inside_ranges(slice_, session.lake)
    readable, lost = _held_by_kafka(session, slice_)
    stored = stored_coordinates(session, slice_)
    kept = stored.num_rows > 0 and not _covers(session, readable, stored)
    if not kept:
        messages = read_ranges(session.spark, session.settings, readable)
        stamp = SliceStamp(slice_.slice_id, slice_.hour, slice_.planned_at)
        session.right.require()
        offsets = sum(each.offsets for each in readable)
        bronze.replace_slice(bronze_rows(messages, stamp), slice_.slice_id, slice_.hour, offsets)
        stored = stored_coordinates(session, slice_)
    # What expired while it was being read is lost too, unless it is stored.
    _, lost_meanwhile = _held_by_kafka(session, slice_)
    lost = _without_stored({*lost, *lost_meanwhile}, stored)
    size = bronze.slice_size(slice_.slice_id, slice_.hour)
    seconds = time.monotonic() - started
    session.right.require()
    session.ledger.mark_bronze(
        slice_.slice_id, _rows_by_partition(stored), size.bytes, lost, seconds, session.run_id
    )
    group_offsets = commit_group_offsets(session.settings, slice_.ranges) or "committed"
    return BronzeSlice(slice_, stored.num_rows, size.bytes, size.files, lost, kept, group_offsets, seconds)


def require_kafka_still_holds(session: WriterSession, slices: Sequence[Slice]) -> None:
    """Kafka holds every row that Bronze has, or had, of these slices.

    Raises:
        TableError: it does not; names the slice and the offsets, and nothing was touched.
    """
    for slice_ in slices:
        if _made_anew(session, slice_):
            raise TableError(
                f"Bronze of hour {slice_.hour:%Y-%m-%d %H}:00 cannot be rebuilt from Kafka: slice "
                f"{slice_.slice_id} was read from topic {slice_.topic} with id {slice_.topic_id}, which was made "
                f"anew since: its offsets are other messages now. Nothing was touched. {FROM_BRONZE}"
            )
        _, lost = _held_by_kafka(session, slice_)
        known = session.ledger.lost_offsets(slice_.slice_id)
        for each in lost:
            if not any(seen.partition == each.partition and seen.end >= each.end for seen in known):
                raise TableError(
                    f"Bronze of hour {slice_.hour:%Y-%m-%d %H}:00 cannot be rebuilt from Kafka: of slice "
                    f"{slice_.slice_id}, partition {each.partition}, Kafka has dropped offsets {each.start} to "
                    f"{each.end - 1} (the topic's retention). Nothing was touched. {FROM_BRONZE}"
                )


def stored_coordinates(session: WriterSession, slice_: Slice) -> pa.Table:
    """The coordinates that Bronze holds of a slice: `kafka_partition` INT, `kafka_offset` BIGINT."""
    return session.lake.bronze.slice_arrow(slice_.slice_id, slice_.hour, COORDINATES)


def _made_anew(session: WriterSession, slice_: Slice) -> bool:
    """Whether the topic of that name is another one than when the slice was planned."""
    return topic_id(session.settings, slice_.topic) != slice_.topic_id


def _held_by_kafka(
    session: WriterSession, slice_: Slice
) -> tuple[tuple[OffsetRange, ...], tuple[OffsetRange, ...]]:
    """What Kafka can still give of the slice, and what it cannot."""
    if _made_anew(session, slice_):
        return (), slice_.ranges
    return clamped(slice_.ranges, earliest_offsets(session.settings, slice_.ranges))


def _covers(session: WriterSession, readable: Sequence[OffsetRange], stored: pa.Table) -> bool:
    """Whether a read of these ranges gives every coordinate that is stored (compaction may have taken some)."""
    messages = read_ranges(session.spark, session.settings, readable)
    read = messages.selectExpr("partition AS kafka_partition", "offset AS kafka_offset").toArrow()
    missing = stored.join(read, keys=COORDINATES, join_type="left anti")
    return bool(missing.num_rows == 0)


def _rows_by_partition(stored: pa.Table) -> dict[int, int]:
    counts = pc.value_counts(stored["kafka_partition"].combine_chunks())
    return {each["values"]: each["counts"] for each in counts.to_pylist()}


def _without_stored(lost: set[OffsetRange], stored: pa.Table) -> tuple[OffsetRange, ...]:
    """The lost ranges, each shortened to what lies before the first stored offset of its partition."""
    remaining: dict[tuple[int, int], OffsetRange] = {}
    for each in lost:
        offsets = stored.filter(pc.equal(stored["kafka_partition"], each.partition))["kafka_offset"]
        first = pc.min(offsets).as_py() if len(offsets) else each.end
        if first > each.start:
            end = min(each.end, first)
            before = remaining.get((each.partition, each.start))
            remaining[each.partition, each.start] = OffsetRange(
                each.topic, each.partition, each.start, max(end, before.end if before else end)
            )
    return tuple(remaining[key] for key in sorted(remaining))
