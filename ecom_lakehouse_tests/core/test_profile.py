"""A profile says what the events of a slice held; profiles of slices add up to that of the hour."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.profile import FieldProfile, Profile, merged, profile, profile_from_json
from ecom_lakehouse_tests.core.frames import Sent, encoded, judged

pytestmark = pytest.mark.spark

FIRST = [
    encoded(price=9.5, quantity=10, user_id="a"),
    encoded(price=100, event_time="2026-11-22T10:00:00Z", user_id="b"),
    encoded(event_type="click", price=None, quantity=None, currency=None, order_id=None, user_id="a"),
]
SECOND = [encoded(price=20, quantity=9, currency="USD", user_id="a"), b"garbage"]


def of(spark: SparkSession, values: list[bytes]) -> Profile:
    return profile(judged(spark, [Sent(value) for value in values]))


def test_nulls_ranges_and_frequent_values_are_told(spark: SparkSession) -> None:
    found = of(spark, FIRST)
    assert found.rows == 3
    assert found.null_share("price") == pytest.approx(1 / 3)
    assert found.fields["price"] == FieldProfile(1, "9.5000", "100.0000")
    assert found.fields["quantity"] == FieldProfile(1, "2", "10")
    assert found.fields["event_time"].least == "2026-11-22T10:00:00.000000+00:00"
    assert found.fields["event_type"].values == {"purchase": 2, "click": 1}
    assert found.fields["user_id"].values == {"a": 2, "b": 1}
    assert found.fields["event_id"] == FieldProfile(0)


def test_slices_add_up_to_the_hour(spark: SparkSession) -> None:
    apart = [of(spark, FIRST), of(spark, SECOND)]
    assert merged(apart) == of(spark, FIRST + SECOND)
    assert merged(apart).fields["price"] == FieldProfile(2, "9.5000", "100.0000")


def test_a_profile_of_nothing_has_no_rows(spark: SparkSession) -> None:
    assert merged([]).rows == 0
    assert merged([]).null_share("price") == 0
    nothing = profile(judged(spark, [Sent(b"")]).where("kafka_offset < 0"))
    assert merged([nothing, of(spark, FIRST)]) == of(spark, FIRST)


def test_a_profile_survives_the_ledger(spark: SparkSession) -> None:
    found = of(spark, FIRST)
    assert profile_from_json(json.loads(json.dumps(found.as_json()))) == found
