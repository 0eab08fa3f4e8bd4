"""What must hold before a slice is written: the ledger and the lake speak of the same slices."""

from __future__ import annotations

from ecom_lakehouse.errors import LedgerError
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.tables import Lake

REBUILD_LEDGER = (
    "This happens when Postgres was restored from an older dump. Nothing was written; "
    "`lakehouse rebuild-ledger` makes the ledger anew from Bronze."
)


def require_ledger_knows_bronze(ledger: Ledger, lake: Lake) -> None:
    """Bronze holds no slice that the ledger doesn't know.

    Raises:
        LedgerError: it does; names the first of them.
    """
    if not lake.bronze.exists():
        return
    last = ledger.last_slice_id()
    unknown = lake.bronze.known_slices(after=last)
    if unknown:
        raise LedgerError(
            f"{lake.bronze.uri} holds slice {min(unknown)}, but the ledger ends at slice {last}. {REBUILD_LEDGER}"
        )


def require_rows_inside_ranges(slice_: Slice, lake: Lake) -> None:
    """In every layer, rows with this slice's id lie inside its offset ranges.

    Raises:
        LedgerError: some do not; names the table and the offsets.
    """
    planned = {each.partition: each for each in slice_.ranges}
    for table in lake.tables:
        for partition, (first, last) in table.slice_offsets(slice_.slice_id).items():
            inside = planned.get(partition)
            if inside is None or first < inside.start or last >= inside.end:
                raise LedgerError(
                    f"{table.uri} holds offsets {first} to {last} of Kafka partition {partition} as slice "
                    f"{slice_.slice_id}, which the ledger planned as {inside or 'without that partition'}. "
                    f"{REBUILD_LEDGER}"
                )
