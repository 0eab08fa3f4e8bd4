"""Messages → the codes of all rules that each breaks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecom_lakehouse.core.contract import Limits
from ecom_lakehouse.core.evidence import Answers, Evidence
from ecom_lakehouse.core.parse import ParsedEvents, parse_events
from ecom_lakehouse.core.rules import CODES, RULES

CODES_TYPE = pa.list_(pa.field("element", pa.string(), nullable=False))

WHITE_SPACE = " \t\n\r"
"""JSON's."""

_CODES = pa.array(CODES)


def broken_rules(evidence: Evidence) -> pa.ListArray:
    """Per row the codes of all rules it breaks, in the catalogue's order; an empty list where none."""
    broken = _verdicts(evidence)
    rows, rules = np.nonzero(broken)
    offsets = np.searchsorted(rows, np.arange(len(broken) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, _CODES.take(pa.array(rules)), type=CODES_TYPE)


def judged_values(
    raw_json: pa.Array, raw_value: pa.Array, broker_times: pa.Array, limits: Limits
) -> tuple[ParsedEvents, pa.ListArray]:
    """Message values as `split_text` gives them, read, and the codes of all rules that each breaks."""
    parsed = parse_events(raw_json)
    empty = _is_empty(raw_json, raw_value)
    columns = {**parsed.columns, "kafka_timestamp": broker_times}
    evidence = Evidence(columns, empty=empty, malformed=~(empty | parsed.is_object), limits=limits)
    return parsed, broken_rules(evidence)


def broken_rules_of_typed(events: pa.Table, limits: Limits) -> pa.ListArray:
    """The same of rows that are already typed, such as Silver's: what the rules say of what is stored.

    Needs the contract's fields and `kafka_timestamp`.
    """
    columns = {name: events[name].combine_chunks() for name in events.column_names}
    none = np.zeros(len(events), np.bool_)
    return broken_rules(Evidence(columns, empty=none, malformed=none, limits=limits))


def _verdicts(evidence: Evidence) -> Answers:
    """One row a message, one column a rule; rules that stand alone leave no room for others."""
    broken = np.column_stack([rule.broken(evidence) for rule in RULES])
    alone = np.array([rule.stands_alone for rule in RULES])
    broken[:, ~alone] &= ~broken[:, alone].any(axis=1, keepdims=True)
    return broken


def _is_empty(raw_json: pa.Array, raw_value: pa.Array) -> Answers:
    blank = pc.fill_null(pc.equal(pc.utf8_trim(raw_json, WHITE_SPACE), ""), False)
    no_value = pc.and_(pc.is_null(raw_json), pc.is_null(raw_value))
    empty: Answers = pc.or_(blank, no_value).to_numpy(zero_copy_only=False)
    return empty
