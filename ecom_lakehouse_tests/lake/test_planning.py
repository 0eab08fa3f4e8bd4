"""Cutting slices, on a real ledger; the topic's state is given, so that each case is exact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ecom_lakehouse.errors import LedgerError, TopicError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.lake.planning import look_at_waiting, plan_is_due, plan_slice
from ecom_lakehouse.lake.topic import TopicSnapshot
from ecom_lakehouse.settings import Settings

NOON = datetime(2026, 1, 31, 12, 0, 10, tzinfo=UTC)


def topic_at(
    settings: Settings,
    ends: dict[int, int],
    earliest: dict[int, int] | None = None,
    seen_at: datetime = NOON,
    topic_id: str = "first",
    cluster_id: str = "cluster",
) -> TopicSnapshot:
    return TopicSnapshot(
        settings.topic, topic_id, cluster_id, seen_at, earliest or dict.fromkeys(ends, 0), ends
    )


def plan(ledger: Ledger, settings: Settings, snapshot: TopicSnapshot) -> Slice | None:
    return plan_slice(ledger, look_at_waiting(ledger, snapshot, settings), settings)


def ranges(planned: Slice | None) -> dict[int, tuple[int, int]]:
    assert planned is not None
    return {each.partition: (each.start, each.end) for each in planned.ranges}


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with connect(settings, autocommit=True) as connection:
        yield Ledger(connection)


def test_a_slice_starts_where_the_one_before_it_ended(ledger: Ledger, settings: Settings) -> None:
    first = plan(ledger, settings, topic_at(settings, {0: 10, 1: 4}))
    second = plan(ledger, settings, topic_at(settings, {0: 15, 1: 4}))
    assert ranges(first) == {0: (0, 10), 1: (0, 4)}
    assert ranges(second) == {0: (10, 15)}


def test_nothing_new_plans_nothing(ledger: Ledger, settings: Settings) -> None:
    assert plan(ledger, settings, topic_at(settings, {0: 0, 1: 0})) is None
    plan(ledger, settings, topic_at(settings, {0: 10}))
    assert plan(ledger, settings, topic_at(settings, {0: 10})) is None


def test_a_first_start_begins_at_the_earliest_offset_and_loses_nothing(
    ledger: Ledger, settings: Settings
) -> None:
    first = plan(ledger, settings, topic_at(settings, {0: 10}, earliest={0: 7}))
    assert ranges(first) == {0: (7, 10)}
    assert ledger.lost_offsets_in_all() == 0


def test_a_first_start_at_latest_takes_what_comes_after_it(ledger: Ledger, settings: Settings) -> None:
    latest = settings.model_copy(update={"start_offsets": "latest"})
    assert plan(ledger, latest, topic_at(settings, {0: 10})) is None
    assert ranges(plan(ledger, latest, topic_at(settings, {0: 13}))) == {0: (10, 13)}


def test_a_partition_that_was_empty_at_the_first_look_begins_where_it_was_then(
    ledger: Ledger, settings: Settings
) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10, 1: 500}, earliest={0: 0, 1: 500}))
    second = plan(ledger, settings, topic_at(settings, {0: 10, 1: 501}, earliest={0: 0, 1: 500}))
    assert ranges(second) == {1: (500, 501)}
    assert ledger.lost_offsets_in_all() == 0


def test_a_kafka_partition_that_appears_later_begins_at_zero(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    second = plan(ledger, settings, topic_at(settings, {0: 10, 1: 3}))
    assert ranges(second) == {1: (0, 3)}


def test_offsets_dropped_before_the_plan_stay_in_the_range_and_are_recorded_as_lost(
    ledger: Ledger, settings: Settings
) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    second = plan(ledger, settings, topic_at(settings, {0: 30}, earliest={0: 25}))
    assert ranges(second) == {0: (10, 30)}
    assert ledger.lost_offsets(2) == [OffsetRange(settings.topic, 0, 10, 25)]


def test_everything_dropped_is_a_slice_of_lost_offsets(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    second = plan(ledger, settings, topic_at(settings, {0: 30}, earliest={0: 30}))
    assert ranges(second) == {0: (10, 30)}
    assert ledger.lost_offsets_in_all() == 20


def test_a_bound_is_shared_fairly_and_the_rest_waits(ledger: Ledger, settings: Settings) -> None:
    bounded = settings.model_copy(update={"slice_max_messages": 10})
    snapshot = topic_at(settings, {0: 100, 1: 2, 2: 100})
    first = plan(ledger, bounded, snapshot)
    assert ranges(first) == {0: (0, 4), 1: (0, 2), 2: (0, 4)}
    assert look_at_waiting(ledger, snapshot, bounded).messages == 192


def test_a_topic_made_anew_stops_planning_though_it_is_longer(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    with pytest.raises(TopicError, match="adopt-topic"):
        plan(ledger, settings, topic_at(settings, {0: 50}, topic_id="second"))


def test_an_adopted_topic_begins_at_its_earliest_offset(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    anew = topic_at(settings, {0: 50}, topic_id="second")
    ledger.adopt_topic(anew)
    assert ranges(plan(ledger, settings, anew)) == {0: (0, 50)}


def test_a_topic_adopted_again_goes_on_where_it_was_left(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    ledger.adopt_topic(topic_at(settings, {0: 50}, topic_id="second"))
    again = topic_at(settings, {0: 12})
    ledger.adopt_topic(again)
    assert ranges(plan(ledger, settings, again)) == {0: (10, 12)}


def test_another_cluster_stops_planning(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    with pytest.raises(TopicError, match="cluster"):
        plan(ledger, settings, topic_at(settings, {0: 50}, cluster_id="another"))


def test_an_end_before_our_position_stops_planning(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    with pytest.raises(TopicError, match="before our position 10"):
        plan(ledger, settings, topic_at(settings, {0: 9}))


def test_a_clock_set_back_never_plans_an_earlier_hour(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    second = plan(ledger, settings, topic_at(settings, {0: 20}, seen_at=NOON - timedelta(hours=3)))
    assert second is not None
    assert second.hour == NOON.replace(minute=0, second=0)


def test_two_planners_at_once_plan_one_slice(ledger: Ledger, settings: Settings) -> None:
    snapshot = topic_at(settings, {0: 10})
    waiting = look_at_waiting(ledger, snapshot, settings)
    with connect(settings, autocommit=True) as other:
        late = Ledger(other)
        late_look = look_at_waiting(late, snapshot, settings)
        plan_slice(ledger, waiting, settings)
        with pytest.raises(LedgerError, match="planned by somebody else"):
            plan_slice(late, late_look, settings)
    assert ledger.last_slice_id() == 1


def test_the_ledger_takes_no_range_that_leaves_a_gap(ledger: Ledger, settings: Settings) -> None:
    plan(ledger, settings, topic_at(settings, {0: 10}))
    plan(ledger, settings, topic_at(settings, {0: 10, 1: 3}))
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        ledger.add_ranges(2, "first", [OffsetRange(settings.topic, 0, 11, 20)], {0: 11})


def test_a_slice_is_due_once_the_minute_that_ended_may_close(settings: Settings, ledger: Ledger) -> None:
    last = plan(ledger, settings, topic_at(settings, {0: 10}, seen_at=NOON))
    next_minute = NOON.replace(minute=1, second=0)
    grace = timedelta(seconds=settings.close_grace_seconds)
    assert plan_is_due(None, NOON, 0, settings)
    assert not plan_is_due(last, next_minute + grace - timedelta(milliseconds=1), 5, settings)
    assert plan_is_due(last, next_minute + grace, 5, settings)


def test_more_than_a_slice_waiting_is_due_at_once(settings: Settings, ledger: Ledger) -> None:
    last = plan(ledger, settings, topic_at(settings, {0: 10}, seen_at=NOON))
    assert plan_is_due(last, NOON, settings.slice_max_messages + 1, settings)
    assert not plan_is_due(last, NOON, settings.slice_max_messages, settings)
