"""The JSON Schema, held against the vectors and the rules by an independent validator."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from ecom_lakehouse.core.contract import EVENT_TYPES
from ecom_lakehouse.core.event_schema import (
    NOT_EXPRESSED,
    PARTLY_EXPRESSED,
    event_schema,
    example,
    expressed_fully,
)
from ecom_lakehouse.core.rules import CODES
from ecom_lakehouse_tests.core.test_rules import ALONE
from ecom_lakehouse_tests.core.vectors import VECTORS, Vector

VALIDATOR = Draft202012Validator(event_schema())
ACCEPTED = [vector for vector in VECTORS if vector.layer == "silver"]
REFUSED = [vector for vector in VECTORS if set(vector.codes) & set(expressed_fully())]


def test_it_is_a_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(event_schema())


@pytest.mark.parametrize("vector", ACCEPTED, ids=lambda vector: vector.name)
def test_every_message_of_silver_is_valid(vector: Vector) -> None:
    assert vector.value is not None
    VALIDATOR.validate(json.loads(vector.value))


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector.name)
def test_a_message_that_breaks_what_the_schema_says_is_refused(vector: Vector) -> None:
    assert vector.value is not None
    assert not VALIDATOR.is_valid(json.loads(vector.value))


@pytest.mark.parametrize("code", expressed_fully())
def test_each_rule_that_it_says_is_refused_alone(code: str) -> None:
    for value in ALONE[code]:
        assert value is not None
        assert not VALIDATOR.is_valid(json.loads(value)), value


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_the_examples_are_valid(event_type: str) -> None:
    VALIDATOR.validate(example(event_type))


def test_every_rule_is_said_in_full_in_part_or_not_at_all() -> None:
    assert {*expressed_fully(), *PARTLY_EXPRESSED, *NOT_EXPRESSED} == set(CODES)
