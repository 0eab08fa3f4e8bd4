"""Message values → typed columns, exactly as the contract reads them.

Everything here works on Arrow columns, a batch at a time, so that both engines run the very same code.
JSON is decoded message by message; what is regular about a column (the form of timestamps) is done by column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from types import NoneType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ecom_lakehouse.core.contract import (
    FIELDS,
    INT_MAX,
    INT_MIN,
    PRICE_PRECISION,
    PRICE_SCALE,
    TIMESTAMP_PATTERN,
    ColumnType,
    JsonType,
)
from ecom_lakehouse.core.drift import changed_type, new_field

MAX_DEPTH = 128
"""Deeper nesting is malformed: a limit of our own, or it would depend on how deep the caller's stack is."""

TIMESTAMP_TYPE = pa.timestamp("us", "UTC")
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "timestamp": TIMESTAMP_TYPE,
    "decimal(18,4)": pa.decimal128(PRICE_PRECISION, PRICE_SCALE),
}

MOST_DRIFTS = 20
"""The most new fields that are noted of one message."""

PLAIN_NUMBER = 38
"""The most characters of a number that Arrow is given as it is.

Longer ones, and those with an exponent, are brought to a price's form first: Arrow reads wrong decimals from some,
and crashes on others.
"""

_NAMES = {field.name for field in FIELDS}
_JSON_TYPES: dict[JsonType, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, Decimal),
}
_JSON_TYPE_NAMES: dict[type, str] = {
    str: "string",
    int: "integer",
    Decimal: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_PLACES = Decimal(1).scaleb(-PRICE_SCALE)
_PRICE_LIMIT = Decimal(10) ** (PRICE_PRECISION - PRICE_SCALE)
_NO_PRICE = _PRICE_LIMIT
_FIRST_INSTANT = pa.scalar(datetime.min.replace(tzinfo=UTC), TIMESTAMP_TYPE)
_LAST_INSTANT = pa.scalar(datetime.max.replace(tzinfo=UTC), TIMESTAMP_TYPE)
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


@dataclass(frozen=True)
class ParsedEvents:
    """A batch of messages, read: which are JSON objects, and the contract's fields of each as columns.

    `columns` holds every field of the contract by its name, in its column type, null where the message has
    none that can be read; of a message that is no JSON object all are null. `drift` says by row what the
    contract doesn't know: new fields and changed types (see `core.drift`); most rows have none.
    """

    is_object: NDArray[np.bool_]
    columns: dict[str, pa.Array]
    drift: dict[int, list[str]]


def parse_events(texts: pa.Array) -> ParsedEvents:
    """Reads message values given as text (Arrow `string`); a null text is no object."""
    messages = pc.fill_null(texts, "").to_pylist()
    events, unknown = _decoded(messages)
    is_object = np.array([event is not _NO_OBJECT for event in events], np.bool_)
    # every object opens one bracket; only where there are many more can one be nested too deeply
    if _opening_brackets(texts) - np.count_nonzero(is_object) >= MAX_DEPTH:
        for row in np.flatnonzero(is_object).tolist():
            if _depth(messages[row]) > MAX_DEPTH:
                events[row] = _NO_OBJECT
                is_object[row] = False
                unknown.pop(row, None)
    drift = {row: [new_field(name) for name in names[:MOST_DRIFTS]] for row, names in unknown.items()}
    columns = {}
    for field in FIELDS:
        values = [*map(attrgetter(field.name), events)]
        for row, found in _taken_out(values, _JSON_TYPES[field.json_type]):
            drift.setdefault(row, []).append(changed_type(field.name, _JSON_TYPE_NAMES[found]))
        columns[field.name] = _TYPED[field.column_type](values)
    return ParsedEvents(is_object, columns, drift)


def split_text(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Bytes → (text, bytes): the text where they are valid UTF-8, the bytes only where they are not."""
    try:
        return values.cast(pa.string()), pa.nulls(len(values), pa.binary())
    except pa.ArrowInvalid:
        texts = [_text(value) for value in values.to_pylist()]
    readable = pa.array([text is not None for text in texts])
    return pa.array(texts, pa.string()), pc.if_else(readable, pa.scalar(None, pa.binary()), values)


def price_of(number: Decimal) -> Decimal | None:
    """The number as a price, unless it has more than 14 digits before the point or 4 after it.

    Its value counts, not its spelling: `1.50000` and `15e-1` are 1.5.
    """
    if not -_PRICE_LIMIT < number < _PRICE_LIMIT:
        return None
    price = number.quantize(_PLACES)
    return price if price == number else None


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _number(literal: str) -> Decimal | None:
    try:
        number = Decimal(literal)
    except InvalidOperation:
        # an exponent beyond all bounds: no field of the contract can hold such a number
        return None
    if len(literal) <= PLAIN_NUMBER and "e" not in literal and "E" not in literal:
        return number
    price = price_of(number)
    return _NO_PRICE if price is None else price


_FIELDS = [(field.name, Any, None) for field in FIELDS]
_Event = msgspec.defstruct("_Event", _FIELDS, gc=False)
_KnownEvent = msgspec.defstruct("_KnownEvent", _FIELDS, gc=False, forbid_unknown_fields=True)
_RawEvent = msgspec.defstruct(
    "_RawEvent", [(field.name, msgspec.Raw, msgspec.Raw(b"null")) for field in FIELDS]
)
_NO_OBJECT = _Event()
_decode = msgspec.json.Decoder(_Event, float_hook=_number).decode
_decode_known = msgspec.json.Decoder(_KnownEvent, float_hook=_number).decode
_decode_raw = msgspec.json.Decoder(_RawEvent).decode
_decode_field = msgspec.json.Decoder(float_hook=_number).decode
_decode_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _decoded(messages: Sequence[str]) -> tuple[list[Any], dict[int, list[str]]]:
    """The messages as objects with the contract's fields, and by row the names of fields it doesn't know."""
    events: list[Any] = []
    unknown: dict[int, list[str]] = {}
    rest = iter(messages)
    while len(events) < len(messages):
        try:
            # up to the first that is refused, which `rest` has then passed
            events.extend(map(_decode_known, rest))
        except msgspec.ValidationError:
            row = len(events)
            events.append(_decoded_otherwise(messages[row]))
            if events[row] is not _NO_OBJECT and (names := _unknown_names(messages[row])):
                unknown[row] = names
        except (msgspec.DecodeError, RecursionError):
            events.append(_NO_OBJECT)
    return events, unknown


def _decoded_otherwise(message: str) -> Any:
    """A message that is no object, or has unknown fields, or an integer too long for the decoder."""
    try:
        return _decode(message)
    except msgspec.ValidationError:
        return _decoded_by_field(message)
    except (msgspec.DecodeError, RecursionError):
        return _NO_OBJECT


def _unknown_names(message: str) -> list[str]:
    return [name for name in _decode_names(message) if name not in _NAMES]


def _taken_out(values: list[Any], allowed: tuple[type, ...]) -> list[tuple[int, type]]:
    """Makes null what is of no allowed type, and says where it was and of which type."""
    if set(map(type, values)) <= {*allowed, NoneType}:
        return []
    found = [
        (row, each)
        for row, each in enumerate(map(type, values))
        if each not in allowed and each is not NoneType
    ]
    for row, _ in found:
        values[row] = None
    return found


def _decoded_by_field(text: str) -> Any:
    """An object with an integer too long for the decoder: that field is null, the others are read."""
    try:
        raw = _decode_raw(text)
    except msgspec.DecodeError:
        return _NO_OBJECT
    return _Event(*map(_field_value, msgspec.structs.astuple(raw)))


def _field_value(raw: msgspec.Raw) -> Any:
    try:
        return _decode_field(raw)
    except msgspec.ValidationError:
        return None


def _opening_brackets(texts: pa.Array) -> int:
    _, offsets, data = texts.buffers()
    start, end = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    content = data[start:end].to_pybytes() if data else b""
    return content.count(b"[") + content.count(b"{")


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    deepest = depth = 0
    for token in _STRING_OR_BRACKET.findall(text):
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    return deepest


# The columns take values of the field's JSON type, or None. Arrow reads a list ten times as fast as a look at
# each value does, and refuses it as a whole where a value does not fit.


def _strings(values: Sequence[str | None]) -> pa.Array:
    strings = pa.array(values, pa.string())
    empty = pc.equal(strings, "")
    return pc.if_else(empty, None, strings) if pc.any(empty).as_py() else strings


def _integers(values: Sequence[int | None]) -> pa.Array:
    try:
        return pa.array(values, pa.int32())
    except (pa.ArrowInvalid, OverflowError):
        fitting = [value if value is not None and INT_MIN <= value <= INT_MAX else None for value in values]
        return pa.array(fitting, pa.int32())


def _prices(values: Sequence[int | Decimal | None]) -> pa.Array:
    column_type = ARROW_TYPES["decimal(18,4)"]
    try:
        return pa.array(values, column_type)
    except pa.ArrowInvalid:
        return pa.array(
            [None if value is None else price_of(Decimal(value)) for value in values], column_type
        )


def _timestamps(values: Sequence[Any]) -> pa.Array:
    strings = _strings(values)
    formed = pc.if_else(pc.match_substring_regex(strings, f"^(?:{TIMESTAMP_PATTERN})$"), strings, None)
    try:
        times = formed.cast(TIMESTAMP_TYPE)
    except pa.ArrowInvalid:
        # some day in it does not exist, such as 30 February
        times = pc.if_else(_days_exist(formed), formed, None).cast(TIMESTAMP_TYPE)
    representable = pc.and_(pc.greater_equal(times, _FIRST_INSTANT), pc.less_equal(times, _LAST_INSTANT))
    return pc.if_else(representable, times, None)


def _days_exist(timestamps: pa.Array) -> pa.Array:
    return pa.array([text is not None and _day_exists(text[:10]) for text in timestamps.to_pylist()])


def _day_exists(day: str) -> bool:
    try:
        datetime.fromisoformat(day)
    except ValueError:
        return False
    return True


_TYPED: dict[ColumnType, Callable[[Sequence[Any]], pa.Array]] = {
    "string": _strings,
    "int": _integers,
    "timestamp": _timestamps,
    "decimal(18,4)": _prices,
}
