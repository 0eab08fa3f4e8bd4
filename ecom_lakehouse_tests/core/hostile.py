"""Messages as nobody should send them: valid events, mutated as values, as fields and as bytes."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from ecom_lakehouse_tests.core.frames import event

NUMBERS = [
    "0", "-0", "1", "-1", "2", "1.0", "1e0", "2E0", "0.0", "-0.0", "19.99", "-0.01", "0.0001",
    "0.00001", "1.50000", "15e-1", "100e-2", "1.5e1", "1E+2", "2147483647", "2147483648",
    "-2147483648", "-2147483649", "4294967297", "9223372036854775808", "18446744073709551616",
    "99999999999999.9999", "99999999999999.99991", "100000000000000", "99999999999999.99999",
    "1e13", "1e14", "9.99999999999999999e13", "1e400", "1e-400", "-1e400", "0e999999999999",
    "1e999999999999999999999999", "1e-999999999999999999999999", "1" * 5000, "0." + "3" * 5000,
    "1" + "0" * 13 + "." + "0" * 3000, "0." + "0" * 4 + "1", "123456789012345678901234567890",
]  # fmt: skip
NOT_JSON = [
    "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "--1", "1e", "0x10", "nul", "True",
    "'x'", "", "undefined", "[1,]", '{"a":1,}', "[", "}", '"\\x"', '"\\u12"', '"\\ud800"',
    '"\\udc00\\ud800"', '"\t"', "1 2", "/**/1",
]  # fmt: skip
TIMES = [
    "2026-11-22T12:00:00Z", "2026-11-22T12:00:00.1Z", "2026-11-22T12:00:00.123456Z",
    "2026-11-22T12:00:00.1234567Z", "2026-11-22T12:00:00.Z", "2026-11-22T12:05:00Z",
    "2026-11-22T12:05:00.000001Z", "2026-11-22T14:00:00+02:00", "2026-11-22T12:00:00+18:00",
    "2026-11-22T12:00:00-18:00", "2026-11-22T12:00:00+18:01", "2026-11-22T12:00:00+19:00",
    "2026-11-22T12:00:00-00:00", "2026-11-22T12:00:00+00:60", "2026-11-22T23:59:60Z",
    "2026-11-22T24:00:00Z", "2026-11-22T12:60:00Z", "2026-02-29T12:00:00Z", "2024-02-29T12:00:00Z",
    "2026-04-31T12:00:00Z", "2026-00-10T12:00:00Z", "2026-11-00T12:00:00Z", "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "0001-01-01T00:00:00-00:01",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59+18:00",
    "2025-11-22T12:00:00Z", "2025-11-22T11:59:59.999999Z", "2026-11-22t12:00:00Z",
    "2026-11-22T12:00:00z", "2026-11-22 12:00:00Z", "2026-11-22T12:00:00", "2026-11-22T12:00Z",
    "2026-11-22T12:00:00+0200", "2026-W47-7T12:00:00Z", "20261122T120000Z", "２026-11-22T12:00:00Z",
    "2026-11-22T12:00:00.١Z", "2026-11-22T12:00:00Z ", "\n2026-11-22T12:00:00Z",
    "2026-11-22T12:00:00Z\n", "2026-11-22T12:00:00,5Z", "-2026-11-22T12:00:00Z",
    "12026-11-22T12:00:00Z", "",
]  # fmt: skip
TEXTS = [
    "", " ", "x", "EUR", "eur", "EURO", "EU", "EUR\n", "ÉUR", "click", "add_to_cart", "checkout",
    "purchase", "Purchase", "\x00", "a\x00b", "é", "😀", "'; drop table silver; --", "<b>", "1",
    "null", "x" * 3000,
]  # fmt: skip


def quoted(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """JSON strings, spelled with or without escapes."""
    return st.builds(lambda text, plain: json.dumps(text, ensure_ascii=not plain), texts, st.booleans())


deep = st.integers(1, 140).map(lambda depth: "[" * depth + "]" * depth)
other = st.sampled_from(
    ["true", "false", "null", "[]", "{}", '[{"a": [1, "]"]}]', '{"user_id": "x"}', '["\\"["]']
)
literals = st.one_of(
    quoted(st.sampled_from(TIMES)),
    quoted(st.sampled_from(TEXTS)),
    quoted(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)),
    st.sampled_from(NUMBERS),
    st.decimals(allow_nan=False, allow_infinity=False).map(str).filter(lambda text: not text.startswith("+")),
    other,
    deep,
)
names = st.one_of(st.sampled_from(list(event())), st.sampled_from(["User_id", "price ", "", "extra", "z"]))
field = st.tuples(quoted(names), st.one_of(literals, literals, literals, st.sampled_from(NOT_JSON)))
fitting = {
    json.dumps(name): quoted(st.sampled_from(TIMES))
    if name.endswith("_time")
    else st.sampled_from(NUMBERS)
    if name in ("event_version", "quantity", "price")
    else quoted(st.sampled_from(TEXTS))
    for name in event()
}
sound = st.builds(
    lambda kind: [(json.dumps(name), json.dumps(value)) for name, value in event(event_type=kind).items()],
    st.sampled_from(["click", "add_to_cart", "checkout", "purchase", "purchase"]),
)


@st.composite
def values(draw: st.DrawFn) -> bytes | None:
    """The value of one message."""
    fields = draw(sound)
    for at in draw(st.lists(st.integers(0, len(fields) - 1), max_size=4)):
        name, _ = fields[at]
        fields[at] = (name, draw(st.one_of(fitting[name], literals)))
    for _ in range(draw(st.integers(0, 1))):
        del fields[draw(st.integers(0, len(fields) - 1))]
    for added in draw(st.lists(field, max_size=1)):
        fields.insert(draw(st.integers(0, len(fields))), added)
    blank = draw(
        st.sampled_from(["", " ", "\n", "\t\r", "\u00a0", "\x0b"] if draw(st.integers(0, 9)) == 0 else [""])
    )
    text = blank + "{" + ", ".join(f"{name}:{blank} {value}" for name, value in fields) + "}" + blank
    value = text.encode()
    if draw(st.integers(0, 7)):
        return value
    return draw(_damaged(value))


@st.composite
def _damaged(draw: st.DrawFn, value: bytes) -> bytes | None:
    at = draw(st.integers(0, len(value)))
    some = draw(
        st.one_of(
            st.binary(max_size=3), st.sampled_from([b"\xef\xbb\xbf", b"\x00", b"\xed\xa0\x80", b"{}", b","])
        )
    )
    return draw(
        st.sampled_from(
            [
                value[:at],
                value[:at] + some + value[at:],
                some + value,
                value + some,
                value[:at] + value[at + 1 :],
                value[at:],
                some,
                b"",
                None,
                b" \n",
                value.replace(b'"', b"'", 1),
                b"[" + value + b"]",
            ]
        )
    )
