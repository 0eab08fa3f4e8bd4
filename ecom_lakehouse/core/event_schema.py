"""The contract as a JSON Schema (Draft 2020-12), for producers that validate before they send."""

from __future__ import annotations

from typing import Any

from ecom_lakehouse.core.contract import (
    CURRENCY_PATTERN,
    EVENT_TYPES,
    EVENT_VERSION,
    FIELDS,
    INT_MAX,
    PRICE_PRECISION,
    PRICE_SCALE,
    TIMESTAMP_PATTERN,
    TOPIC,
    Field,
)
from ecom_lakehouse.core.rules import CODES

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

NOT_EXPRESSED = {
    "empty_message": "a schema judges JSON, and there is none",
    "malformed_json": "a schema judges JSON that was read; readers also differ in repeated keys and lone surrogates",
    "event_time_in_future": "the broker's timestamp is not in the message",
    "event_time_too_old": "the broker's timestamp is not in the message",
}
"""Rules that no schema can say, and why."""
PARTLY_EXPRESSED = {
    "unsupported_event_version": "to a schema `1.0` is the integer 1; to the rule it isn't",
    "bad_ingest_time": "that the day exists in its month is not said (30 February)",
    "bad_event_time": "that the day exists in its month is not said (30 February)",
    "add_to_cart_requires_qty_price_currency": "`2.0` is an integer to a schema; as validators compute in binary "
    f"fractions, it doesn't say that a price has at most {PRICE_SCALE} places, and lets 10¹⁴ itself pass",
    "purchase_requires_order_qty_price_currency": "as for add_to_cart",
}
"""Rules that the schema says in part, and what it leaves out."""

_FORMS: dict[str, dict[str, Any]] = {
    "event_version": {"const": EVENT_VERSION},
    "event_type": {"enum": list(EVENT_TYPES)},
    "event_time": {"pattern": f"^(?:{TIMESTAMP_PATTERN})$"},
    "ingest_time": {"pattern": f"^(?:{TIMESTAMP_PATTERN})$"},
    "quantity": {"minimum": 1, "maximum": INT_MAX},
    "price": {"minimum": 0, "maximum": 10 ** (PRICE_PRECISION - PRICE_SCALE)},
    "currency": {"pattern": f"^(?:{CURRENCY_PATTERN})$"},
}


def event_schema() -> dict[str, Any]:
    """The schema: types of all fields, and for each event type what it needs.

    What it refuses that the rules let pass: a field of the wrong type that no rule of that event type needs.
    """
    everywhere = [field for field in FIELDS if field.required_for == EVENT_TYPES]
    return {
        "$schema": SCHEMA_DIALECT,
        "title": f"{TOPIC}: a shop event",
        "type": "object",
        "properties": {field.name: _typed(field, field in everywhere) for field in FIELDS},
        "required": [field.name for field in everywhere],
        "allOf": [
            _needs(event_type, everywhere) for event_type in EVENT_TYPES if _needed(event_type, everywhere)
        ],
        "additionalProperties": True,
        "examples": [example(event_type) for event_type in EVENT_TYPES],
    }


def example(event_type: str) -> dict[str, Any]:
    """A full event of that type; what does not apply is null."""
    return {
        field.name: _example_value(field) if event_type in (field.required_for or EVENT_TYPES) else None
        for field in FIELDS
    } | {"event_type": event_type}


def expressed_fully() -> list[str]:
    """The rules that the schema says as they are."""
    return [code for code in CODES if code not in NOT_EXPRESSED and code not in PARTLY_EXPRESSED]


def _example_value(field: Field) -> Any:
    return float(field.example) if field.json_type == "number" else field.example


def _typed(field: Field, required: bool) -> dict[str, Any]:
    typed: dict[str, Any] = {"description": field.description}
    if required:
        return typed | {"type": field.json_type} | _required_form(field)
    return typed | {"type": [field.json_type, "null"]}


def _required_form(field: Field) -> dict[str, Any]:
    if field.name in _FORMS:
        return _FORMS[field.name]
    return {"minLength": 1} if field.json_type == "string" else {}


def _needed(event_type: str, everywhere: list[Field]) -> list[Field]:
    return [field for field in FIELDS if event_type in field.required_for and field not in everywhere]


def _needs(event_type: str, everywhere: list[Field]) -> dict[str, Any]:
    needed = _needed(event_type, everywhere)
    return {
        "if": {"properties": {"event_type": {"const": event_type}}, "required": ["event_type"]},
        "then": {
            "properties": {field.name: {"type": field.json_type} | _required_form(field) for field in needed},
            "required": [field.name for field in needed],
        },
    }
