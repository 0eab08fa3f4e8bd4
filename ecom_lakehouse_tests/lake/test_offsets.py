"""Ranges of offsets, clamped to what Kafka still holds and shared out among readers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecom_lakehouse.lake.offsets import OffsetRange, clamped, shared_out


def offsets_of(ranges: list[OffsetRange] | tuple[OffsetRange, ...]) -> list[tuple[int, int]]:
    return [(each.partition, offset) for each in ranges for offset in range(each.start, each.end)]


ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5).map(
    lambda bounds: [
        OffsetRange("t", partition, start, start + length) for partition, (start, length) in enumerate(bounds)
    ]
)


@given(ranges, st.lists(st.integers(0, 100), min_size=5, max_size=5))
def test_what_is_readable_and_what_is_lost_are_the_whole_range(
    wanted: list[OffsetRange], first: list[int]
) -> None:
    earliest = dict(enumerate(first))
    readable, lost = clamped(wanted, earliest)
    assert sorted(offsets_of(readable) + offsets_of(lost)) == offsets_of(wanted)
    assert all(offset >= earliest[partition] for partition, offset in offsets_of(readable))
    assert all(offset < earliest[partition] for partition, offset in offsets_of(lost))
    assert all(each.offsets for each in (*readable, *lost))


@given(ranges, st.integers(1, 4))
def test_shares_are_the_same_offsets_in_even_parts(wanted: list[OffsetRange], parts: int) -> None:
    shares = shared_out(wanted, parts)
    assert [offset for share in shares for offset in offsets_of(share)] == offsets_of(wanted)
    assert len(shares) <= parts
    sizes = [sum(each.offsets for each in share) for share in shares]
    assert all(size == max(sizes) for size in sizes[:-1])


@pytest.mark.parametrize(("partition", "start", "end"), [(-1, 0, 1), (0, -1, 1), (0, 2, 1)])
def test_what_is_no_range_is_refused(partition: int, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no offset range"):
        OffsetRange("t", partition, start, end)
