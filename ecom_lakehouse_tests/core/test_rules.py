"""Every rule broken alone, rules together, and what of them is tolerated."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.contract import Limits
from ecom_lakehouse.core.judgement import broken_rules_of_typed
from ecom_lakehouse.core.rules import CODES, RULES, Rule, Tolerance, with_tolerances
from ecom_lakehouse.core.silver import candidates
from ecom_lakehouse_tests.core.frames import Sent, encoded, judged, rows

ALONE = {
    "empty_message": [None, b"", b" \t\r\n"],
    "malformed_json": [b"\xff", b"{", b"[]", b'{"a": NaN}', b'{"a": "\\ud800"}', b"\xef\xbb\xbf{}"],
    "missing_event_id": [encoded(event_id=...), encoded(event_id=None), encoded(event_id=""), encoded(event_id=7)],
    "unsupported_event_version": [encoded(event_version=version) for version in (..., None, 0, 2, "1", 1.0, True)],
    "invalid_event_type": [encoded(event_type=kind) for kind in (..., None, "", "Purchase", "refund", 1)],
    "missing_user_id": [encoded(user_id=...), encoded(user_id=None), encoded(user_id=""), encoded(user_id=["u"])],
    "missing_session_id": [encoded(session_id=...), encoded(session_id=""), encoded(session_id={})],
    "bad_ingest_time": [encoded(ingest_time=...), encoded(ingest_time="2026-11-22T12:00:00"), encoded(ingest_time=1)],
    "bad_event_time": [encoded(event_time=...), encoded(event_time="2026-02-30T00:00:00Z"), encoded(event_time=True)],
    "event_time_in_future": [
        encoded(event_time=at) for at in ("2026-11-22T12:05:00.000001Z", "9999-01-01T00:00:00Z")
    ],
    "event_time_too_old": [
        encoded(event_time=at) for at in ("2025-11-22T11:59:59.999999Z", "0001-01-01T00:00:00Z")
    ],
    "product_id_required_for_click_or_cart": [
        encoded(event_type="click", product_id=None),
        encoded(event_type="add_to_cart", product_id=""),
    ],
    "add_to_cart_requires_qty_price_currency": [
        encoded(event_type="add_to_cart", **wrong)
        for wrong in ({"quantity": 0}, {"quantity": "1"}, {"price": -0.01}, {"price": None}, {"currency": "eur"})
    ],
    "purchase_requires_product_id": [encoded(product_id=...), encoded(product_id=4)],
    "purchase_requires_order_qty_price_currency": [
        encoded(**wrong)
        for wrong in (
            {"order_id": None}, {"order_id": ""}, {"quantity": -1}, {"quantity": 2**31}, {"quantity": None},
            {"price": 0.00001}, {"price": 1e14}, {"price": "1"}, {"currency": None}, {"currency": "EURO"},
        )
    ],
}  # fmt: skip
SOUND = [
    encoded(),
    encoded(event_type="checkout", product_id=None, quantity=None, price=None, currency=None, order_id=None),
    encoded(event_type="click", quantity=-1, price="x", currency="", order_id=None, source=None),
    encoded(event_type="add_to_cart", quantity=1, price=0, order_id=None),
    encoded(event_time="2026-11-22T12:05:00Z"),
    encoded(event_time="2025-11-22T12:00:00Z"),
    encoded(extra={"a": [1]}, user_id="  "),
]


def codes(spark: SparkSession, values: list[bytes | None]) -> list[list[str]]:
    return [row["validation_errors"] for row in rows(judged(spark, [Sent(value) for value in values]))]


@pytest.mark.spark
def test_each_rule_is_broken_alone(spark: SparkSession) -> None:
    assert tuple(ALONE) == CODES
    cases = [(code, value) for code, values in ALONE.items() for value in values]
    assert codes(spark, [value for _, value in cases]) == [[code] for code, _ in cases]


@pytest.mark.spark
def test_a_sound_event_breaks_none(spark: SparkSession) -> None:
    assert codes(spark, [*SOUND]) == [[]] * len(SOUND)


@pytest.mark.spark
def test_all_broken_rules_are_listed_in_the_catalogues_order(spark: SparkSession) -> None:
    wrong: dict[str, Any] = dict.fromkeys(
        ["event_id", "user_id", "session_id", "ingest_time", "product_id", "price"]
    )
    wrong |= {"event_version": 2, "event_time": "2030-01-01T00:00:00Z"}
    expected = [
        "missing_event_id",
        "unsupported_event_version",
        "missing_user_id",
        "missing_session_id",
        "bad_ingest_time",
        "event_time_in_future",
    ]
    assert codes(
        spark,
        [encoded(**wrong), encoded(event_type="add_to_cart", **wrong), encoded(event_type="x", **wrong)],
    ) == [
        [*expected, "purchase_requires_product_id", "purchase_requires_order_qty_price_currency"],
        [*expected, "product_id_required_for_click_or_cart", "add_to_cart_requires_qty_price_currency"],
        [*expected[:2], "invalid_event_type", *expected[2:]],
    ]


@pytest.mark.spark
def test_what_is_stored_can_be_judged_again(spark: SparkSession) -> None:
    silver = candidates(judged(spark, [Sent(value) for value in SOUND])).toArrow()
    assert broken_rules_of_typed(silver, Limits()).to_pylist() == [[]] * len(SOUND)
    spoiled = silver.set_column(
        silver.schema.get_field_index("user_id"), "user_id", pa.nulls(len(SOUND), pa.string())
    )
    assert broken_rules_of_typed(spoiled, Limits()).to_pylist() == [["missing_user_id"]] * len(SOUND)


def rule(code: str) -> Rule:
    return next(rule for rule in RULES if rule.code == code)


@pytest.mark.parametrize(
    ("broken", "messages", "verdict"),
    [
        (0, 0, "pass"),
        (9, 10, "pass"),
        (10, 1000, "pass"),
        (11, 1000, "warn"),
        (50, 1000, "warn"),
        (51, 1000, "error"),
    ],
)
def test_a_share_beyond_tolerance_warns_then_fails_but_never_for_a_few(
    broken: int, messages: int, verdict: str
) -> None:
    assert rule("malformed_json").verdict(broken, messages) == verdict


def test_a_rule_that_may_only_warn_never_fails() -> None:
    assert rule("empty_message").verdict(1000, 1000) == "warn"


def test_a_tolerance_is_overridden_by_name() -> None:
    changed = with_tolerances({"malformed_json": {"warn_above": 0.02, "min_count": 1}})
    by_code = {rule.code: rule.tolerance for rule in changed}
    assert by_code["malformed_json"] == Tolerance(warn_above=0.02, error_above=0.05, min_count=1)
    assert [rule.code for rule in changed] == list(CODES)
    assert {code: by_code[code] for code in CODES[2:]} == {rule.code: rule.tolerance for rule in RULES[2:]}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"malformed": {}}, "'malformed' is no rule: the codes are empty_message, malformed_json"),
        (
            {"malformed_json": {"warn": 0.1}},
            "malformed_json: 'warn' is unknown, allowed are warn_above, error_above",
        ),
        (
            {"malformed_json": {"warn_above": 5}},
            "malformed_json: warn_above=5: allowed is a share from 0 to 1",
        ),
        ({"malformed_json": {"error_above": "x"}}, "malformed_json: error_above='x': allowed is a share"),
        ({"malformed_json": {"warn_above": 0.9}}, "it must warn first"),
        ({"malformed_json": {"min_count": 0}}, "min_count=0: allowed is a whole number from 1"),
    ],
)
def test_a_wrong_tolerance_is_refused_with_what_is_allowed(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        with_tolerances(overrides)


def test_every_rule_says_what_it_means_and_what_to_do() -> None:
    for each in RULES:
        assert each.meaning.endswith(".")
        assert each.action.endswith(".")
        assert each.runbook == f"docs/runbook.md#{each.code}"
