"""How one message's value becomes typed fields; judged by an independent reading of the contract."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecom_lakehouse.core.parse import MAX_DEPTH, parse_events, split_text
from ecom_lakehouse_tests.core import hostile
from ecom_lakehouse_tests.core.frames import NOON, encoded
from ecom_lakehouse_tests.core.reading import read


def parsed(values: list[bytes | None]) -> list[tuple[bool, dict[str, Any]]]:
    text, _ = split_text(pa.array(values, pa.binary()))
    events = parse_events(text)
    typed = pa.table(events.columns).to_pylist()
    return list(zip(events.is_object.tolist(), typed, strict=True))


def one(value: bytes) -> tuple[bool, dict[str, Any]]:
    return parsed([value])[0]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(hostile.values(), min_size=20, max_size=40))
def test_every_message_is_read_as_the_contract_says(values: list[bytes | None]) -> None:
    for value, (is_object, typed) in zip(values, parsed(values), strict=True):
        codes, expected = read(value, NOON)
        assert typed == expected
        assert is_object == (codes not in (["empty_message"], ["malformed_json"]))


@pytest.mark.parametrize("literal", hostile.NUMBERS)
@pytest.mark.parametrize("field", ["price", "quantity", "event_version", "user_id"])
def test_a_number_is_read_by_its_value_and_its_kind(field: str, literal: str) -> None:
    value = b'{"%s": %s, "source": "x"}' % (field.encode(), literal.encode())
    assert one(value) == (True, read(value, NOON)[1])


@pytest.mark.parametrize("text", hostile.TIMES)
def test_a_time_is_read_by_the_grammar_alone(text: str) -> None:
    value = encoded(event_time=text)
    assert one(value)[1]["event_time"] == read(value, NOON)[1]["event_time"]


@pytest.mark.parametrize("literal", hostile.NOT_JSON)
@pytest.mark.parametrize("field", ["price", "unknown"])
def test_what_is_no_json_makes_the_message_malformed_wherever_it_stands(field: str, literal: str) -> None:
    assert not one(b'{"event_id": "a", "%s": %s}' % (field.encode(), literal.encode()))[0]


@pytest.mark.parametrize(
    ("literal", "price"),
    [("1.50000", "1.5"), ("15e-1", "1.5"), ("100e-2", "1"), ("0e999999999999", "0"), ("-0.0", "0")],
)
def test_a_prices_value_counts_not_its_spelling(literal: str, price: str) -> None:
    assert one(b'{"price": %s}' % literal.encode())[1]["price"] == Decimal(price)


def test_numbers_beyond_all_bounds_cost_no_time() -> None:
    started = time.process_time()
    digits = b"9" * 1_000_000
    for literal in (b"1e999999999", b"-1e-999999999", digits, b"0." + digits, digits + b"e-1000000"):
        is_object, typed = one(b'{"price": %s, "quantity": %s, "source": "x"}' % (literal, literal))
        assert (is_object, typed["price"], typed["quantity"], typed["source"]) == (True, None, None, "x")
    assert time.process_time() - started < 2


def test_a_repeated_key_counts_last_whatever_its_type() -> None:
    for first, last, quantity in [
        (b"1", b'"2"', None),
        (b'"2"', b"1", 1),
        (b"1" * 5000, b"3", 3),
        (b"3", b"null", None),
    ]:
        assert one(b'{"quantity": %s, "quantity": %s}' % (first, last))[1]["quantity"] == quantity


def test_an_escaped_field_name_is_the_field() -> None:
    assert one(b'{"user\\u005fid": "u"}')[1]["user_id"] == "u"


def test_a_number_too_long_to_decode_empties_its_field_alone() -> None:
    typed = one(b'{"price": %s, "user_id": [%s], "session_id": "s"}' % (b"7" * 5000, b"7" * 5000))[1]
    assert (typed["price"], typed["user_id"], typed["session_id"]) == (None, None, "s")


@pytest.mark.parametrize(
    ("depth", "is_object"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)]
)
def test_nesting_is_read_to_a_fixed_depth(depth: int, is_object: bool) -> None:
    nested = b'{"x":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
    neighbours: list[bytes | None] = [b"garbage", nested, encoded(), None]
    assert [found for found, _ in parsed(neighbours)] == [False, is_object, True, False]


def test_brackets_in_strings_nest_nothing() -> None:
    assert one(encoded(source='"[{' * 500))[0]


def test_one_bad_message_changes_nothing_for_its_neighbours() -> None:
    values = [
        encoded(),
        b"\xff",
        encoded(event_time="2026-02-30T00:00:00Z"),
        None,
        encoded(user_id=5),
        encoded(),
    ]
    alone = [one(value) if value is not None else (False, parsed([None])[0][1]) for value in values]
    assert parsed(values) == alone


def test_a_slice_of_a_batch_is_read_as_if_it_stood_alone() -> None:
    text, _ = split_text(pa.array([encoded(user_id=f"u{number}") for number in range(50)], pa.binary()))
    assert parse_events(text.slice(20, 5)).columns["user_id"].to_pylist() == [
        "u20",
        "u21",
        "u22",
        "u23",
        "u24",
    ]


def test_bytes_are_kept_only_where_they_are_no_text() -> None:
    text, raw = split_text(pa.array([b"a", b"\xff", None, "é".encode(), b"\xed\xa0\x80", b""], pa.binary()))
    assert text.to_pylist() == ["a", None, None, "é", None, ""]
    assert raw.to_pylist() == [None, b"\xff", None, None, b"\xed\xa0\x80", None]


def test_no_messages_are_no_rows() -> None:
    assert parsed([]) == []
