"""The documents that repeat what the code says: written from it, so that they can't say anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ecom_lakehouse.core.contract import EVENT_TYPES, FIELDS, TOPIC, Limits
from ecom_lakehouse.core.event_schema import (
    NOT_EXPRESSED,
    PARTLY_EXPRESSED,
    event_schema,
    example,
    expressed_fully,
)
from ecom_lakehouse.core.judgement import judged_values
from ecom_lakehouse.core.parse import MAX_DEPTH, TIMESTAMP_TYPE, split_text
from ecom_lakehouse.core.rules import RULES, Rule

GENERATED = "<!-- Written by `lakehouse docs` from the code; change it there. -->"
BROKER_TIME = datetime(2026, 1, 31, 12, 0, 2, tzinfo=UTC)
"""When the broker is taken to have received the examples."""

_TIMESTAMP = """## Timestamps
`YYYY-MM-DDTHH:MM:SS`, then optionally `.` and 1 to 6 digits, then `Z` or `±HH:MM` (at most ±18:00): capital T and
Z, a date that exists, years 0001 to 9999 (in UTC too), hour ≤ 23, minute and second ≤ 59, nothing else.
`2026-01-31T12:00:00Z`, `2026-01-31T12:00:00.123456+02:00` and `-00:00` are timestamps; a leap second, a time
without an offset, `+0200` and a space instead of the T are not."""

_JSON = f"""## JSON
The value is one JSON object by RFC 8259 in UTF-8, without a byte order mark: no NaN, Infinity, comments or
trailing commas. A lone surrogate escape (`\\ud800`) and nesting deeper than {MAX_DEPTH} make a message malformed.

- Types are strict: `"3"`, `3.0` and `3e0` are no integers, `true` is no string. A field of the wrong type reads
  as null, and whichever rule then fires names it.
- A number's value counts, not its spelling: `1.50000`, `15e-1` and `1.5` are the same price. Prices are decimals
  from first to last; none is ever rounded. What a column can't hold reads as null.
- An empty string reads as null; a string of blanks is a value. NUL is a character like others.
- With a repeated key the last one counts, whatever its type. Field names are case-sensitive.
- Unknown fields are allowed; they stay in the raw value, and a check tells of them."""

_DUPLICATES = """## Duplicates and late events
A message whose `event_id` was already accepted is a duplicate: it stays in Bronze, is counted, and reaches neither
Silver nor Quarantine. Of several in one slice the lowest (Kafka partition, offset) is kept. Rules come first: an
invalid message is quarantined even where its id was seen, and makes no valid one a duplicate.
A re-send must keep the original's `event_time`; it is then found however late it comes.
However late an event is (the rule on age aside), it reaches Silver and its minute is computed anew."""


def data_contract() -> str:
    """`docs/data_contract.md`: fields, forms, and what valid and invalid messages look like."""
    fields = [
        f"| `{field.name}` | {field.json_type} | {_required_for(field.required_for)} | {field.form} "
        f"| {field.description} | {field.column_type.upper()} |"
        for field in FIELDS
    ]
    return _page(
        "# The event contract, version 1",
        f"Topic `{TOPIC}`; key = `user_id`; value = one JSON object. Every field is always present, `null` where it "
        "does not apply. The rules that messages are judged by: [dq_rules.md](dq_rules.md).",
        "| field | JSON type | required for | form | meaning | column |\n|---|---|---|---|---|---|\n"
        + "\n".join(fields),
        _TIMESTAMP,
        _JSON,
        _DUPLICATES,
        "## Valid messages",
        *(f"`{name}`:\n{_code(example(name))}" for name in EVENT_TYPES),
        "## Invalid messages",
        "What is wrong, and the rules that the message then breaks, as the platform itself judged them:",
        _invalid_table(),
        "## JSON Schema",
        "[event.schema.json](event.schema.json) (Draft 2020-12) lets a producer check an event before it is sent. "
        "It refuses one thing that the rules let pass: a field of the wrong type that no rule of that event type "
        f"needs. It says {len(expressed_fully())} of the {len(RULES)} rules as they are. What it can't say:",
        "| rule | what the schema leaves out |\n|---|---|\n"
        + "\n".join(f"| `{code}` | {why} |" for code, why in {**NOT_EXPRESSED, **PARTLY_EXPRESSED}.items()),
    )


def dq_rules() -> str:
    """`docs/dq_rules.md`: every rule, what it means, what of it is tolerated, and what to do."""
    table = [
        f"| [`{rule.code}`](#{rule.code}) | {rule.meaning} | {rule.severity} | {_share(rule.tolerance.warn_above)} "
        f"| {_share(rule.tolerance.error_above)} | {rule.tolerance.min_count} |"
        for rule in RULES
    ]
    return _page(
        "# The rules of Silver",
        "A message that breaks none of these reaches Silver; one that breaks any goes to Quarantine with the codes "
        "of all it breaks, in this order. The first two stand alone: nothing else can be said of such a message. "
        "An event without a usable `event_type` is judged by the rules for all events only.",
        "Each rule is an asset check of `quarantine_events`, on the hour so far. It warns when more than a share of "
        "the hour's messages break it, fails beyond a larger share, and says nothing of fewer than `min_count`. "
        "A rule whose severity is `warn` never fails.",
        "| code | breaks when | severity | warns above | fails above | min_count |\n|---|---|---|---|---|---|\n"
        + "\n".join(table),
        "Another tolerance is a setting, by code, in JSON; what is left out stays:\n"
        '```sh\nLAKEHOUSE_TOLERANCES=\'{"malformed_json": {"warn_above": 0.02, "min_count": 50}}\'\n```',
        *(_rule_section(rule) for rule in RULES),
    )


def schema_file() -> str:
    """`docs/event.schema.json`."""
    return json.dumps(event_schema(), indent=2, ensure_ascii=False) + "\n"


DOCUMENTS: dict[str, Callable[[], str]] = {
    "docs/data_contract.md": data_contract,
    "docs/dq_rules.md": dq_rules,
    "docs/event.schema.json": schema_file,
}
"""What is generated, by its path in the project."""


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([title, GENERATED, *parts]) + "\n"


def _required_for(event_types: tuple[str, ...]) -> str:
    if event_types == EVENT_TYPES:
        return "all"
    return ", ".join(event_types) or "–"


def _share(share: float) -> str:
    return f"{share * 100:g} %"


def _code(event: dict[str, Any]) -> str:
    return f"```json\n{json.dumps(event, indent=2, ensure_ascii=False)}\n```"


def _rule_section(rule: Rule) -> str:
    alone = "\n\nIt stands alone: no other rule is listed beside it." if rule.stands_alone else ""
    runbook = rule.runbook.removeprefix("docs/")
    return f"### {rule.code}\n{rule.meaning}{alone}\n\n**What to do.** {rule.action} [Runbook]({runbook})."


def _invalid_table() -> str:
    values = [value.encode() for _, value in _invalid_messages()]
    raw_json, raw_value = split_text(pa.array(values, pa.binary()))
    received = pa.repeat(pa.scalar(BROKER_TIME, TIMESTAMP_TYPE), len(values))
    _, codes = judged_values(raw_json, raw_value, received, Limits())
    lines = [
        f"| {what} | {'<br>'.join(f'`{code}`' for code in broken)} |"
        for (what, _), broken in zip(_invalid_messages(), codes.to_pylist(), strict=True)
    ]
    return "| what | rules broken |\n|---|---|\n" + "\n".join(lines)


def _invalid_messages() -> list[tuple[str, str]]:
    """Purchases, each spoiled in one way, and texts that are no event."""

    def spoiled(**fields: Any) -> str:
        return json.dumps(example("purchase") | fields)

    return [
        ("an empty value", ""),
        ('`{"event_id": "7d0f…`, cut short', '{"event_id": "7d0f'),
        ("`[{…}]`, an array", f"[{spoiled()}]"),
        ('`"event_id": ""`', spoiled(event_id="")),
        ('`"event_version": "1"`', spoiled(event_version="1")),
        ('`"event_type": "Purchase"`', spoiled(event_type="Purchase")),
        ('`"user_id": 7`', spoiled(user_id=7)),
        ('`"ingest_time": "2026-01-31 12:00:01Z"`', spoiled(ingest_time="2026-01-31 12:00:01Z")),
        ('`"event_time": "2026-02-30T12:00:00Z"`', spoiled(event_time="2026-02-30T12:00:00Z")),
        ('`"event_time": "2027-01-31T12:00:00Z"`, a year ahead', spoiled(event_time="2027-01-31T12:00:00Z")),
        ('`"event_time": "1970-01-01T00:00:00Z"`', spoiled(event_time="1970-01-01T00:00:00Z")),
        ('`"quantity": "3"`', spoiled(quantity="3")),
        ('`"price": 0.00001`', spoiled(price=0.00001)),
        ('`"currency": "eur"`', spoiled(currency="eur")),
        (
            '`"product_id": null`, `"price": -1`, `"session_id": null`',
            spoiled(product_id=None, price=-1, session_id=None),
        ),
        ("`{}`", "{}"),
    ]
