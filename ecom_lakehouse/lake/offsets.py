"""Ranges of Kafka offsets, and what is left of them once Kafka has dropped its oldest messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class OffsetRange:
    """Offsets of one Kafka partition, from `start` up to but not including `end`."""

    topic: str
    partition: int
    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuses what is no range."""
        if not 0 <= self.start <= self.end or self.partition < 0:
            raise ValueError(
                f"{self.topic}[{self.partition}] from {self.start} to {self.end} is no offset range"
            )

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] offsets {self.start} to {self.end - 1}"

    @property
    def offsets(self) -> int:
        """How many offsets it spans; messages can be fewer (control records, compaction)."""
        return self.end - self.start


def clamped(
    ranges: Sequence[OffsetRange], earliest: Mapping[int, int]
) -> tuple[tuple[OffsetRange, ...], tuple[OffsetRange, ...]]:
    """What Kafka can still give of the ranges, and what it has dropped; together they are the ranges.

    `earliest` is the first offset that Kafka holds, by Kafka partition. Neither part has empty ranges.
    """
    readable, lost = [], []
    for each in ranges:
        first = min(max(each.start, earliest[each.partition]), each.end)
        if each.start < first:
            lost.append(OffsetRange(each.topic, each.partition, each.start, first))
        if first < each.end:
            readable.append(OffsetRange(each.topic, each.partition, first, each.end))
    return tuple(readable), tuple(lost)


def shared_out(ranges: Sequence[OffsetRange], parts: int) -> list[list[OffsetRange]]:
    """The same offsets in at most `parts` lists that span about as many each, cut within ranges if need be."""
    size = max(1, -(-sum(each.offsets for each in ranges) // parts))
    shares: list[list[OffsetRange]] = []
    room = 0
    for each in ranges:
        start = each.start
        while start < each.end:
            if room == 0:
                shares.append([])
                room = size
            end = min(each.end, start + room)
            shares[-1].append(OffsetRange(each.topic, each.partition, start, end))
            room -= end - start
            start = end
    return shares
