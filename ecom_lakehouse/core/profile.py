"""A profile of events: null shares, ranges and frequent values of the contract's fields.

Profiles of slices add up to the profile of an hour: rows, nulls and counted values are summed, ranges widened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

from ecom_lakehouse.core.contract import FIELDS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

RANGED = tuple(each.name for each in FIELDS if each.column_type != "string")
COUNTED = ("event_type", "currency", "source", "user_id", "product_id")
"""Fields whose values repeat; ids of events, sessions and orders hardly do."""
_TIMES = {each.name for each in FIELDS if each.column_type == "timestamp"}
MOST_VALUES = 20
LONGEST_VALUE = 80


@dataclass(frozen=True)
class FieldProfile:
    """What one field held: rows without it, its least and greatest value, and its frequent values.

    Ranges are texts: numbers as decimals, times in ISO 8601, UTC. `values` counts at most `MOST_VALUES` values
    of a slice, so that counts of a longer time may miss what was rare in each.
    """

    nulls: int
    least: str | None = None
    greatest: str | None = None
    values: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """Rows, and the contract's fields by name."""

    rows: int
    fields: dict[str, FieldProfile]

    def null_share(self, name: str) -> float:
        """The share of rows without that field; 0 where there are no rows."""
        return self.fields[name].nulls / self.rows if self.rows else 0.0

    def as_json(self) -> dict[str, Any]:
        """The profile as plain values, for a ledger; `profile_from_json` reads it back."""
        return {"rows": self.rows, "fields": {name: vars(each) for name, each in self.fields.items()}}


def profile_from_json(stored: dict[str, Any]) -> Profile:
    """What `Profile.as_json` gave."""
    return Profile(stored["rows"], {name: FieldProfile(**each) for name, each in stored["fields"].items()})


def profile(events: DataFrame) -> Profile:
    """The profile of a stored or staged frame that has the contract's typed fields; it is read six times."""
    from pyspark.sql import functions as sf

    nulls = [sf.count_if(sf.col(each.name).isNull()).alias(f"nulls_{each.name}") for each in FIELDS]
    least = [sf.min(name).alias(f"least_{name}") for name in RANGED]
    greatest = [sf.max(name).alias(f"greatest_{name}") for name in RANGED]
    totals = events.agg(sf.count("*").alias("rows"), *nulls, *least, *greatest).toArrow().to_pylist()[0]
    values = _frequent_values(events)
    return Profile(
        totals["rows"],
        {
            each.name: FieldProfile(
                totals[f"nulls_{each.name}"],
                _as_text(totals.get(f"least_{each.name}")),
                _as_text(totals.get(f"greatest_{each.name}")),
                values.get(each.name, {}),
            )
            for each in FIELDS
        },
    )


def merged(profiles: Iterable[Profile]) -> Profile:
    """The profile of all rows of several profiles; of none, a profile without rows."""
    every = list(profiles)
    return Profile(
        sum(each.rows for each in every),
        {each.name: _merged_field([one.fields[each.name] for one in every], each.name) for each in FIELDS},
    )


def _frequent_values(events: DataFrame) -> dict[str, dict[str, int]]:
    from pyspark.sql import functions as sf

    frames = [
        events.where(sf.col(name).isNotNull())
        .groupBy(sf.col(name).alias("value"))
        .agg(sf.count("*").alias("rows"))
        .orderBy(sf.desc("rows"), "value")
        .limit(MOST_VALUES)
        .select(sf.lit(name).alias("field"), "value", "rows")
        for name in COUNTED
    ]
    found: dict[str, dict[str, int]] = {}
    for row in reduce(lambda above, below: above.union(below), frames).toArrow().to_pylist():
        counts = found.setdefault(row["field"], {})
        value = row["value"][:LONGEST_VALUE]
        counts[value] = counts.get(value, 0) + row["rows"]
    return found


def _as_text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return None if value is None else str(value)


def _merged_field(fields: list[FieldProfile], name: str) -> FieldProfile:
    order: Callable[[str], Any] = str if name in _TIMES else Decimal
    least = [each.least for each in fields if each.least is not None]
    greatest = [each.greatest for each in fields if each.greatest is not None]
    values: Counter[str] = Counter()
    for each in fields:
        values.update(each.values)
    return FieldProfile(
        sum(each.nulls for each in fields),
        min(least, key=order, default=None),
        max(greatest, key=order, default=None),
        dict(values.most_common(MOST_VALUES)),
    )
