"""The topic: made once, and the lag that the lake has in it."""

from __future__ import annotations

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.planning import look_at_waiting, plan_slice
from ecom_lakehouse.lake.topic import look_at_topic
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.topic import create_topic, partition_rows
from ecom_lakehouse_tests.conftest import Produce


def test_the_topic_is_made_once(settings: Settings) -> None:
    assert create_topic(settings)
    assert not create_topic(settings)
    assert [row.partition for row in partition_rows(settings)] == [0, 1, 2]


def test_the_lag_is_what_no_slice_holds_yet(settings: Settings, topic: str, produce: Produce) -> None:
    produce(topic, [(b"user_1", b"{}")] * 3, partition=1)
    assert [row.lag for row in partition_rows(settings)] == [0, 3, 0]
    with connect(settings, autocommit=True) as connection:
        ledger = Ledger(connection)
        plan_slice(ledger, look_at_waiting(ledger, look_at_topic(settings), settings), settings)
    produce(topic, [(b"user_1", b"{}")], partition=1)
    rows = partition_rows(settings)
    assert [row.lag for row in rows] == [0, 1, 0]
    assert (rows[1].earliest, rows[1].end, rows[1].position) == (0, 4, 3)
