"""The event contract, version 1: the fields of a message, once.

Parser, table schemas, rules, JSON Schema and documents are derived from `FIELDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

TOPIC = "ecom.events.raw.v1"
EVENT_VERSION = 1

CLICK = "click"
ADD_TO_CART = "add_to_cart"
CHECKOUT = "checkout"
PURCHASE = "purchase"
EVENT_TYPES = (CLICK, ADD_TO_CART, CHECKOUT, PURCHASE)

JsonType = Literal["string", "integer", "number"]
ColumnType = Literal["string", "int", "timestamp", "decimal(18,4)"]

PRICE_PRECISION = 18
PRICE_SCALE = 4
INT_MAX = 2**31 - 1
INT_MIN = -(2**31)
CURRENCY_PATTERN = "[A-Z]{3}"
TIMESTAMP_PATTERN = (
    r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:(?:0[0-9]|1[0-7]):[0-5][0-9]|18:00))"
)
"""A timestamp's form, years 0001 to 9999; whether the day exists in its month a pattern can't say."""


@dataclass(frozen=True)
class Limits:
    """How far `event_time` may lie from the broker's timestamp of the message."""

    future: timedelta = timedelta(minutes=5)
    age: timedelta = timedelta(days=365)


@dataclass(frozen=True)
class Field:
    """One field of a message: what it holds, where it is required, and the column it is typed into."""

    name: str
    json_type: JsonType
    column_type: ColumnType
    required_for: tuple[str, ...]
    form: str
    description: str
    example: str | int


FIELDS = (
    Field(
        "event_id",
        "string",
        "string",
        EVENT_TYPES,
        "a UUID (the form is not checked)",
        "Names the event; a re-send keeps it.",
        "7d0f5a3e-1c1b-4c89-9a51-000000000001",
    ),
    Field(
        "event_version",
        "integer",
        "int",
        EVENT_TYPES,
        "`1`",
        "The version of this contract that the message follows.",
        EVENT_VERSION,
    ),
    Field(
        "event_type",
        "string",
        "string",
        EVENT_TYPES,
        ", ".join(f"`{name}`" for name in EVENT_TYPES),
        "What the shopper did.",
        PURCHASE,
    ),
    Field(
        "event_time",
        "string",
        "timestamp",
        EVENT_TYPES,
        "a timestamp (below)",
        "When it happened.",
        "2026-01-31T12:00:00.123Z",
    ),
    Field(
        "ingest_time",
        "string",
        "timestamp",
        EVENT_TYPES,
        "a timestamp (below)",
        "When the producer sent it.",
        "2026-01-31T12:00:01.000Z",
    ),
    Field(
        "user_id",
        "string",
        "string",
        EVENT_TYPES,
        "such as `user_0001`",
        "Who did it; the message's key.",
        "user_0001",
    ),
    Field(
        "session_id",
        "string",
        "string",
        EVENT_TYPES,
        "a UUID (the form is not checked)",
        "The visit it belongs to.",
        "0b8e3c52-3a43-4a0e-8f4e-6f1d2c3b0001",
    ),
    Field(
        "product_id",
        "string",
        "string",
        (CLICK, ADD_TO_CART, PURCHASE),
        "such as `sku_00123`",
        "The product it is about.",
        "sku_00123",
    ),
    Field(
        "quantity",
        "integer",
        "int",
        (ADD_TO_CART, PURCHASE),
        "≥ 1, at most 2³¹−1",
        "How many pieces.",
        2,
    ),
    Field(
        "price",
        "number",
        "decimal(18,4)",
        (ADD_TO_CART, PURCHASE),
        "≥ 0, decimal, at most 4 places and 14 digits before the point",
        "The price of one piece.",
        "19.99",
    ),
    Field(
        "currency",
        "string",
        "string",
        (ADD_TO_CART, PURCHASE),
        "three capital letters, such as `EUR`",
        "What the price is in.",
        "EUR",
    ),
    Field(
        "order_id",
        "string",
        "string",
        (PURCHASE,),
        "`ord_` + 10 hex digits (the form is not checked)",
        "The order that the purchase belongs to.",
        "ord_0123456789",
    ),
    Field(
        "source",
        "string",
        "string",
        (),
        "free text",
        "Who produced the message.",
        "generator",
    ),
)
FIELD_NAMES = tuple(field.name for field in FIELDS)
