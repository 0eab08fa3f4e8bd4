"""The contract read a second time, in plain Python and slowly: what the engine's answers are compared with.

Nothing here is shared with the package, on purpose.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

STRINGS = ("event_id", "event_type", "user_id", "session_id", "product_id", "currency", "order_id", "source")
NOTHING: dict[str, Any] = dict.fromkeys(
    (*STRINGS, "event_version", "quantity", "price", "event_time", "ingest_time")
)


class Literal:
    """A number as it was spelled."""

    def __init__(self, text: str) -> None:
        self.text = text


def read(value: bytes | None, broker_time: datetime) -> tuple[list[str], dict[str, Any]]:
    """The codes that a message breaks, in order, and its typed fields."""
    if value is None or value.strip(b" \t\r\n") == b"":
        return ["empty_message"], NOTHING
    try:
        event = json.loads(
            value.decode("utf-8"),
            parse_int=Literal,
            parse_float=Literal,
            parse_constant=_refuse,
            object_pairs_hook=_pairs,
        )
    except (ValueError, RecursionError):
        return ["malformed_json"], NOTHING
    if not isinstance(event, dict) or not _is_text(value.decode(), event):
        return ["malformed_json"], NOTHING
    typed = {name: _string(event.get(name)) for name in STRINGS}
    typed["event_version"] = _integer(event.get("event_version"))
    typed["quantity"] = _integer(event.get("quantity"))
    typed["price"] = _price(event.get("price"))
    typed["event_time"] = _timestamp(event.get("event_time"))
    typed["ingest_time"] = _timestamp(event.get("ingest_time"))
    return _codes(typed, broker_time), typed


def _codes(event: dict[str, Any], broker_time: datetime) -> list[str]:
    codes = []
    if event["event_id"] is None:
        codes.append("missing_event_id")
    if event["event_version"] != 1:
        codes.append("unsupported_event_version")
    kind = event["event_type"]
    if kind not in ("click", "add_to_cart", "checkout", "purchase"):
        codes.append("invalid_event_type")
    if event["user_id"] is None:
        codes.append("missing_user_id")
    if event["session_id"] is None:
        codes.append("missing_session_id")
    if event["ingest_time"] is None:
        codes.append("bad_ingest_time")
    if event["event_time"] is None:
        codes.append("bad_event_time")
    elif event["event_time"] - broker_time > timedelta(minutes=5):
        codes.append("event_time_in_future")
    elif broker_time - event["event_time"] > timedelta(days=365):
        codes.append("event_time_too_old")
    priced = (
        event["quantity"] is not None
        and event["quantity"] >= 1
        and event["price"] is not None
        and event["price"] >= 0
        and event["currency"] is not None
        and re.fullmatch("[A-Z][A-Z][A-Z]", event["currency"]) is not None
    )
    if kind in ("click", "add_to_cart") and event["product_id"] is None:
        codes.append("product_id_required_for_click_or_cart")
    if kind == "add_to_cart" and not priced:
        codes.append("add_to_cart_requires_qty_price_currency")
    if kind == "purchase" and event["product_id"] is None:
        codes.append("purchase_requires_product_id")
    if kind == "purchase" and not (event["order_id"] is not None and priced):
        codes.append("purchase_requires_order_qty_price_currency")
    return codes


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in pairs:
        for text in (name, *_texts(value)):
            text.encode("utf-8")  # a lone surrogate raises UnicodeEncodeError, a ValueError
    return dict(pairs)


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return []


def _is_text(text: str, event: dict[str, Any]) -> bool:
    """Nested no deeper than 128."""
    depth = deepest = 0
    quoted = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted and character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not quoted and character in "]}":
            depth -= 1
    return deepest <= 128


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value != "" else None


def _integer(value: Any) -> int | None:
    if not isinstance(value, Literal) or len(value.text) > 20 or any(sign in value.text for sign in ".eE"):
        return None
    number = int(value.text)
    return number if -(2**31) <= number < 2**31 else None


def _price(value: Any) -> Decimal | None:
    """Digits and an exponent, moved by hand: no library's idea of rounding or range is asked."""
    if not isinstance(value, Literal):
        return None
    mantissa, _, exponent = value.text.lower().partition("e")
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return Decimal(0)
    places = len(fraction) - int(exponent or "0")  # the number is digits / 10**places
    stripped = digits.rstrip("0")
    places -= len(digits) - len(stripped)
    if places > 4 or len(stripped) - places > 14:
        return None
    number = Decimal(stripped + "0" * max(0, -places))
    return (-1 if value.text.startswith("-") else 1) * (number / Decimal(10) ** max(0, places))


def _timestamp(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) < 20 or not value.isascii():
        return None
    head, rest = value[:19], value[19:]
    if [head[i] for i in (4, 7, 10, 13, 16)] != ["-", "-", "T", ":", ":"]:
        return None
    numbers = [head[:4], head[5:7], head[8:10], head[11:13], head[14:16], head[17:19]]
    if not all(number.isdigit() for number in numbers):
        return None
    micros = 0
    if rest.startswith("."):
        fraction = rest[1:].split("Z")[0].split("+")[0].split("-")[0]
        if not fraction.isdigit() or not 1 <= len(fraction) <= 6:
            return None
        micros = int(fraction.ljust(6, "0"))
        rest = rest[1 + len(fraction) :]
    if rest == "Z":
        offset = timedelta(0)
    elif len(rest) == 6 and rest[0] in "+-" and rest[3] == ":" and (rest[1:3] + rest[4:]).isdigit():
        hours, minutes = int(rest[1:3]), int(rest[4:])
        offset = timedelta(hours=hours, minutes=minutes)
        if minutes > 59 or offset > timedelta(hours=18):
            return None
        offset = -offset if rest[0] == "-" else offset
    else:
        return None
    try:
        return datetime(*map(int, numbers), micros, tzinfo=UTC) - offset  # type: ignore[arg-type, misc]
    except (ValueError, OverflowError):
        return None
