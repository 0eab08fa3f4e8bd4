"""Keeping the tables small and quick: closed hours compacted, files that no reader needs removed.

All of it is safe beside a writer: a write that meets a compaction is done again (`LakeTable.replace_slice`), a
compaction that meets a write leaves its hours for the next time, and files are removed only once they are out
of the table for as long as the table promises its readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from ecom_lakehouse.lake.tables import Lake, LakeTable
from ecom_lakehouse.settings import Settings

FILES_WORTH_COMPACTING = 8
"""A folder with fewer files is left alone: late events would have closed hours rewritten again and again."""

TARGET_BYTES = 128 * 1024 * 1024


@dataclass(frozen=True)
class Maintained:
    """What was done to one table; `put_off`: a write came between, the rest is left for the next time."""

    table: str
    files_before: int
    files_after: int
    files_removed: int
    put_off: bool


def maintain(settings: Settings, now: datetime | None = None) -> list[Maintained]:
    """Compacts, vacuums and cleans the logs of all tables that exist; doing it again does nothing new."""
    return [_maintained(table, now or datetime.now(UTC)) for table in Lake(settings).tables if table.exists()]


def compact_closed_hours(table: LakeTable, now: datetime) -> bool:
    """Rewrites the hours before this one that have many files as few; the rows stay the same.

    Gives whether it was finished: a commit that met a write of the same hours is left for the next time.
    """
    closed = _closed_hours_with_many_files(table, now)
    today = now.date()
    date_column, hour_column = table.schema.partition_by
    # One commit for all earlier days and one for today: each costs a writer that it meets another try.
    for days in ({day for day, _ in closed if day < today}, {day for day, _ in closed if day >= today}):
        if not days:
            continue
        hours = {hour for day, hour in closed if day in days}
        try:
            table.delta().optimize.compact(
                partition_filters=[(date_column, "in", sorted(days)), (hour_column, "in", sorted(hours))],
                target_size=TARGET_BYTES,
            )
        except CommitFailedError:
            return False
    return True


def remove_old_files(table: LakeTable) -> int:
    """Removes files that left the table, or never came into it, longer ago than it promises its readers.

    Log entries past their own retention go too. Gives how many data files went.
    """
    delta = table.delta()
    removed = delta.vacuum(full=True)
    if removed:
        delta.vacuum(dry_run=False, full=True)
    delta.create_checkpoint()
    delta.cleanup_metadata()
    return len(removed)


def _maintained(table: LakeTable, now: datetime) -> Maintained:
    before = table.files().num_rows
    finished = compact_closed_hours(table, now)
    removed = remove_old_files(table)
    return Maintained(table.schema.name, before, table.files().num_rows, removed, put_off=not finished)


def _closed_hours_with_many_files(table: LakeTable, now: datetime) -> set[tuple[date, int]]:
    keys = [f"partition.{column}" for column in table.schema.partition_by]
    folders = pa.TableGroupBy(table.files(), keys).aggregate([("path", "count")]).to_pylist()
    return {
        (row[keys[0]], row[keys[1]])
        for row in folders
        if row["path_count"] >= FILES_WORTH_COMPACTING
        and (row[keys[0]], row[keys[1]]) < (now.date(), now.hour)
    }
