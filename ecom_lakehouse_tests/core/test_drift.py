"""What the contract doesn't know is noticed in every message, and counted by what it is."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.drift import LONGEST_NAME, MOST_KINDS, Drift, drift_counts, drifts
from ecom_lakehouse.core.parse import MOST_DRIFTS
from ecom_lakehouse_tests.core.frames import Sent, encoded, event, judged, rows

pytestmark = pytest.mark.spark


def counts(spark: SparkSession, values: list[bytes | None]) -> dict[str, int]:
    return drift_counts(judged(spark, [Sent(value) for value in values]))


def test_messages_by_the_contract_drift_nowhere(spark: SparkSession) -> None:
    empty_or_unreadable = [None, b"", b"{", b"[1]", b"\xff", b'{"a": NaN}', b"{}"]
    wrong_but_no_drift = [
        encoded(quantity=-1),
        encoded(user_id=""),
        encoded(price=1e300),
        encoded(event_time="x"),
    ]
    assert counts(spark, [encoded(), *empty_or_unreadable, *wrong_but_no_drift]) == {}


def test_new_fields_and_changed_types_are_counted(spark: SparkSession) -> None:
    found = counts(
        spark,
        [
            encoded(coupon="SUMMER"),
            encoded(coupon=None, quantity="3"),
            encoded(price=True, user_id=7, product_id=["a"], currency={"iso": "EUR"}),
            encoded(quantity=2.5),
        ],
    )
    assert drifts(found) == [
        Drift("new_field", "coupon", None, 2),
        Drift("changed_type", "product_id", "array", 1),
        Drift("changed_type", "price", "boolean", 1),
        Drift("changed_type", "user_id", "integer", 1),
        Drift("changed_type", "quantity", "number", 1),
        Drift("changed_type", "currency", "object", 1),
        Drift("changed_type", "quantity", "string", 1),
    ]
    assert [str(each) for each in drifts(found)][:2] == ["new field coupon", "product_id came as array"]


def test_drift_changes_no_verdict(spark: SparkSession) -> None:
    found = rows(judged(spark, [Sent(encoded(coupon="x")), Sent(encoded())]))
    assert [(row["validation_errors"], row["drift"]) for row in found] == [
        ([], ["new_field:coupon"]),
        ([], None),
    ]
    assert {row["user_id"] for row in found} == {"user_0001"}


def test_a_field_in_another_case_is_a_new_field(spark: SparkSession) -> None:
    assert counts(spark, [encoded(User_id="u")]) == {"new_field:User_id": 1}


def test_a_name_may_hold_anything(spark: SparkSession) -> None:
    name = "a:b\x00'; é" + "x" * 200
    assert drifts(counts(spark, [encoded(**{name: 1})])) == [Drift("new_field", name[:LONGEST_NAME], None, 1)]


def test_a_flood_of_new_fields_is_bounded(spark: SparkSession) -> None:
    flood = [
        json.dumps(event() | {f"f{number}_{at}": 1 for at in range(50)}).encode() for number in range(10)
    ]
    found = judged(spark, [Sent(value) for value in flood])
    assert {len(row["drift"]) for row in rows(found)} == {MOST_DRIFTS}
    assert len(drift_counts(found)) == MOST_KINDS


def test_an_integer_too_long_to_decode_is_no_drift(spark: SparkSession) -> None:
    assert counts(spark, [b'{"price": ' + b"7" * 5000 + b"}"]) == {}
