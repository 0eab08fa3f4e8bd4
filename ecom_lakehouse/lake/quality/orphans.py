"""Duplicates whose accepted copy has left Silver: their slices must be written anew, or the event is nowhere.

That happens when a rule was tightened and an hour rebuilt: a row goes to Quarantine, and a re-sent copy of it,
left out elsewhere as a duplicate, now repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ecom_lakehouse.core.checks import CHECKS
from ecom_lakehouse.lake import delta_sql
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.findings import Finding, slice_subject
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.tables import Lake

(CHECK,) = (each for each in CHECKS if each.name == "duplicates_have_accepted_copy")

IDS_A_QUERY = 5000


def accepted_ids(lake: Lake, slice_: Slice) -> set[str]:
    """The event ids that a slice has in Silver now."""
    return set(lake.silver.slice_arrow(slice_.slice_id, slice_.hour, ["event_id"])["event_id"].to_pylist())


def note_orphans(session: WriterSession, slice_: Slice, accepted_before: set[str]) -> None:
    """Notes the slices with duplicates that repeat what this slice has just taken out of Silver.

    This slice's own duplicates were looked at anew when it was written: what stood about them is gone.
    """
    ledger = session.ledger
    findings.replace(ledger, CHECK, [slice_subject(slice_.slice_id)], [])
    gone = accepted_before - accepted_ids(session.lake, slice_) if accepted_before else set()
    if gone:
        findings.add(ledger, CHECK, list(_orphans(ledger, session.lake, slice_, sorted(gone))))


def _orphans(ledger: Ledger, lake: Lake, slice_: Slice, gone: Sequence[str]) -> Iterator[Finding]:
    counts: dict[int, int] = {}
    for start in range(0, len(gone), IDS_A_QUERY):
        ids = ", ".join(delta_sql.text(each) for each in gone[start : start + IDS_A_QUERY])
        answer = delta_sql.query(
            {"bronze": lake.bronze, "silver": lake.silver, "quarantine": lake.quarantine},
            f"select slice_id, count(*) as rows from"
            f" (select slice_id, event_id, kafka_partition, kafka_offset from bronze"
            f"  where slice_id <> {slice_.slice_id} and event_id in ({ids})) copies"
            f" where event_id not in (select event_id from silver where event_id in ({ids}))"
            f" and not exists (select 1 from quarantine q where q.event_id in ({ids})"
            f"  and q.slice_id = copies.slice_id and q.kafka_partition = copies.kafka_partition"
            f"  and q.kafka_offset = copies.kafka_offset)"
            f" group by slice_id",
        )
        for row in answer.to_pylist():
            counts[row["slice_id"]] = counts.get(row["slice_id"], 0) + row["rows"]
    for slice_id, rows in sorted(counts.items()):
        other = ledger.slice(slice_id)
        if other.next_layer not in ("bronze", "silver"):
            yield Finding.in_slice(
                other, rows, f"duplicates repeat events that slice {slice_.slice_id} no longer has in Silver"
            )
