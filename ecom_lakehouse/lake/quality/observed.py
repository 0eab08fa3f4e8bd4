"""What was noticed of each slice while it was judged: drift from the contract, and a profile of its valid events.

Both are kept by slice and added up by hour, so that an hour costs the same in its first minute and its last.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from ecom_lakehouse.core.drift import CHANGED_TYPE, NEW_FIELD, Drift, drift_counts, drifts
from ecom_lakehouse.core.profile import Profile, merged, profile, profile_from_json
from ecom_lakehouse.lake.ledger import Ledger

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEW = "new field"


@dataclass(frozen=True)
class Observed:
    """What was noticed of one slice."""

    drift: tuple[Drift, ...]
    profile: Profile


def observe(judged: DataFrame, valid: DataFrame) -> Observed:
    """Notices drift in the judged rows, and profiles those that break no rule; both must be staged."""
    return Observed(tuple(drifts(drift_counts(judged))), profile(valid))


def keep(ledger: Ledger, slice_id: int, observed: Observed) -> None:
    """Keeps what was noticed of a slice in place of what was noticed before."""
    connection = ledger.connection
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("delete from lake.slice_drift where slice_id = %s", (slice_id,))
        cursor.executemany(
            "insert into lake.slice_drift (slice_id, field, seen, rows) values (%s, %s, %s, %s)",
            [(slice_id, each.field, each.json_type or NEW, each.messages) for each in observed.drift],
        )
        cursor.execute(
            "insert into lake.slice_profiles values (%s, %s)"
            " on conflict (slice_id) do update set profile = excluded.profile",
            (slice_id, Jsonb(observed.profile.as_json())),
        )


def drift_of_hour(ledger: Ledger, hour: datetime) -> list[Drift]:
    """The drift noticed in an hour so far, the frequent first."""
    rows = ledger.connection.execute(
        "select field, seen, sum(rows)::bigint as rows from lake.slice_drift join lake.slices using (slice_id)"
        " where planned_hour = %s group by field, seen order by rows desc, field, seen",
        (hour,),
    )
    return [
        Drift(NEW_FIELD, row["field"], None, row["rows"])
        if row["seen"] == NEW
        else Drift(CHANGED_TYPE, row["field"], row["seen"], row["rows"])
        for row in rows
    ]


def profile_of_hour(ledger: Ledger, hour: datetime) -> Profile:
    """The profile of an hour's valid events so far."""
    rows = ledger.connection.execute(
        "select profile from lake.slice_profiles join lake.slices using (slice_id) where planned_hour = %s",
        (hour,),
    )
    return merged(profile_from_json(row["profile"]) for row in rows)


def currencies_of_hour(ledger: Ledger, hour: datetime) -> Counter[str]:
    """How many valid events of an hour so far had each currency."""
    rows = ledger.connection.execute(
        "select value, sum(rows::bigint)::bigint as rows from lake.slice_profiles join lake.slices using (slice_id),"
        " jsonb_each_text(profile #> '{fields,currency,values}') as counted (value, rows)"
        " where planned_hour = %s group by value",
        (hour,),
    )
    return Counter({row["value"]: row["rows"] for row in rows})
