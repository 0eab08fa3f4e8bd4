"""What the checks found in the data and what still stands, slice by slice and minute by minute.

A run looks only at what it wrote; the verdict on an hour is on all findings that stand in it, so that the next
clean batch hides nothing. Looked at again, a finding is replaced or gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ecom_lakehouse.core.checks import Check
from ecom_lakehouse.lake.ledger import Ledger, Slice


@dataclass(frozen=True)
class Finding:
    """Rows that break a promise: where (`subject`, in the partition `hour`), how many, and what is wrong."""

    subject: str
    hour: datetime
    slice_id: int | None
    rows: int
    what: str

    @classmethod
    def in_slice(cls, slice_: Slice, rows: int, what: str) -> Finding:
        """A finding about one slice."""
        return cls(slice_subject(slice_.slice_id), slice_.hour, slice_.slice_id, rows, what)


def slice_subject(slice_id: int) -> str:
    """How findings name a slice."""
    return f"slice {slice_id}"


def minute_subject(minute: datetime) -> str:
    """How findings name a minute of event time."""
    return f"minute {minute:%Y-%m-%d %H:%M}Z"


def replace(ledger: Ledger, check: Check, looked_at: Iterable[str], found: Sequence[Finding]) -> None:
    """What was found stands from now on in place of all that stood about the subjects looked at."""
    with ledger.connection.transaction():
        ledger.connection.execute(
            "delete from lake.findings where asset = %s and check_name = %s and subject = any(%s)",
            (check.asset, check.name, list(looked_at)),
        )
        add(ledger, check, found)


def add(ledger: Ledger, check: Check, found: Sequence[Finding]) -> None:
    """What was found stands from now on."""
    if not found:
        return
    with ledger.connection.cursor() as cursor:
        cursor.executemany(
            "insert into lake.findings (asset, check_name, subject, planned_hour, slice_id, rows, what)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (asset, check_name, subject) do update set"
            " rows = excluded.rows, what = excluded.what, planned_hour = excluded.planned_hour, found_at = now()",
            [
                (check.asset, check.name, each.subject, each.hour, each.slice_id, each.rows, each.what)
                for each in found
            ],
        )


def standing(ledger: Ledger, check: Check, hour: datetime) -> list[Finding]:
    """What stands in an hour, oldest slice first."""
    rows = ledger.connection.execute(
        "select subject, planned_hour, slice_id, rows, what from lake.findings"
        " where planned_hour = %s and asset = %s and check_name = %s order by slice_id, subject",
        (hour, check.asset, check.name),
    )
    return [
        Finding(row["subject"], row["planned_hour"], row["slice_id"], row["rows"], row["what"])
        for row in rows
    ]
