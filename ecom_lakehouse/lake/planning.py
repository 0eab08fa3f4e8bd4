"""Cutting slices: which offsets the next micro-batch takes, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ecom_lakehouse.errors import TopicError
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.lake.topic import TopicSnapshot
from ecom_lakehouse.settings import Settings


@dataclass(frozen=True)
class Waiting:
    """What the topic holds beyond what is planned.

    `starts`: where the next slice begins; `readable`: from where Kafka still has messages; by Kafka partition.
    """

    snapshot: TopicSnapshot
    starts: dict[int, int]
    readable: dict[int, int]

    @property
    def messages(self) -> int:
        """Offsets that can be read; control records among them count."""
        return sum(end - self.readable[partition] for partition, end in self.snapshot.stable_end.items())

    @property
    def lost(self) -> int:
        """Offsets that Kafka dropped before they were planned."""
        return sum(self.readable[partition] - start for partition, start in self.starts.items())


def look_at_waiting(ledger: Ledger, snapshot: TopicSnapshot, settings: Settings) -> Waiting:
    """What waits to be planned, once it is certain that this is the topic that the ledger knows.

    Raises:
        TopicError: the topic or cluster is another one, or the topic ends before our position.
    """
    _require_known_topic(ledger, snapshot, settings)
    # A Kafka partition that was added later begins at 0: all it ever held is ours.
    known = ledger.starts(snapshot.topic_id) | ledger.positions(snapshot.topic_id)
    starts = {partition: known.get(partition, 0) for partition in snapshot.stable_end}
    for partition, start in starts.items():
        end = snapshot.stable_end[partition]
        if end < start:
            raise TopicError(
                f"Topic {snapshot.topic}, partition {partition} ends at offset {end}, before our position {start}: "
                "the broker has lost acknowledged messages (an unclean election or a restored disk). Nothing is "
                "planned until it holds them again; if they are gone for good, make a topic of another name and "
                "set LAKEHOUSE_TOPIC."
            )
    readable = {partition: max(start, snapshot.earliest[partition]) for partition, start in starts.items()}
    return Waiting(snapshot, starts, readable)


def plan_is_due(last: Slice | None, now: datetime, waiting: int, settings: Settings) -> bool:
    """Whether a slice is to be cut now: at every mark, and at once when more than a slice's bound waits."""
    if last is None or waiting > settings.slice_max_messages:
        return True
    return _mark(last.planned_at, settings) < _mark(now, settings)


def plan_slice(ledger: Ledger, waiting: Waiting, settings: Settings) -> Slice | None:
    """Plans the next slice in one transaction; None when the topic holds nothing new."""
    if waiting.messages == 0 and waiting.lost == 0:
        return None
    snapshot = waiting.snapshot
    taken = _shares(
        {partition: end - waiting.readable[partition] for partition, end in snapshot.stable_end.items()},
        settings.slice_max_messages,
    )
    ranges, lost = [], []
    for partition, start in sorted(waiting.starts.items()):
        readable = waiting.readable[partition]
        end = readable + taken[partition]
        if end > start:
            ranges.append(OffsetRange(snapshot.topic, partition, start, end))
        if readable > start:
            lost.append(OffsetRange(snapshot.topic, partition, start, readable))
    last = ledger.last_slice()
    hour = snapshot.seen_at.replace(minute=0, second=0, microsecond=0)
    return ledger.plan(
        snapshot,
        hour=max(hour, last.hour) if last else hour,
        ranges=ranges,
        lost=lost,
        reaches_end=sum(taken.values()) == waiting.messages,
    )


def _require_known_topic(ledger: Ledger, snapshot: TopicSnapshot, settings: Settings) -> None:
    known = ledger.adopted_topics(snapshot.topic)
    if not known:
        latest = settings.start_offsets == "latest"
        ledger.adopt_topic(snapshot, snapshot.stable_end if latest else snapshot.earliest)
        return
    if known[0]["cluster_id"] != snapshot.cluster_id:
        raise TopicError(
            f"Topic {snapshot.topic} is on cluster {snapshot.cluster_id}, but the ledger's offsets are of cluster "
            f"{known[0]['cluster_id']}: they mean nothing here. Set LAKEHOUSE_KAFKA_BOOTSTRAP_SERVERS back, or "
            "begin this one at its earliest offset with `lakehouse adopt-topic`."
        )
    if known[0]["topic_id"] != snapshot.topic_id:
        raise TopicError(
            f"Topic {snapshot.topic} was deleted and made anew (its id is {snapshot.topic_id}, the ledger knows "
            f"{known[0]['topic_id']}): offsets of the old one mean nothing in the new one. Nothing is planned; "
            "`lakehouse adopt-topic` begins the new one at its earliest offset."
        )


def _shares(waiting: Mapping[int, int], bound: int) -> dict[int, int]:
    """How many of its waiting messages each Kafka partition gives: all if they fit, else fair shares."""
    shares = {}
    left = bound
    for position, (partition, count) in enumerate(sorted(waiting.items(), key=lambda item: item[1])):
        shares[partition] = min(count, math.ceil(left / (len(waiting) - position)))
        left -= shares[partition]
    return shares


def _mark(moment: datetime, settings: Settings) -> int:
    """Marks lie behind the minute's end by the grace: a slice then closes the minute that has just ended."""
    return int((moment.timestamp() - settings.close_grace_seconds) // settings.micro_batch_seconds)
