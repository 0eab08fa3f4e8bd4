"""Evidence → the codes of all rules that each message breaks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ecom_lakehouse.core.contract import Limits
from ecom_lakehouse.core.evidence import Answers, Evidence
from ecom_lakehouse.core.rules import CODES, RULES

CODES_TYPE = pa.list_(pa.field("element", pa.string(), nullable=False))

_CODES = pa.array(CODES)


def broken_rules(evidence: Evidence) -> pa.ListArray:
    """Per row the codes of all rules it breaks, in the catalogue's order; an empty list where none."""
    broken = _verdicts(evidence)
    rows, rules = np.nonzero(broken)
    offsets = np.searchsorted(rows, np.arange(len(broken) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, _CODES.take(pa.array(rules)), type=CODES_TYPE)


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
