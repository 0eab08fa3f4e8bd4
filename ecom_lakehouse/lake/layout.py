"""How a table lies in storage: its partition folders with files, rows and bytes, from the Delta log."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ecom_lakehouse.lake.tables import LakeTable


@dataclass(frozen=True)
class PartitionFolder:
    """One partition, such as `ingest_date=2026-01-31/ingest_hour=12`, and what the table's version has in it."""

    name: str
    files: int
    rows: int
    bytes: int


def partition_folders(table: LakeTable) -> list[PartitionFolder]:
    """The table's partitions in order of time; none where it is empty.

    Raises:
        TableError: there is no such table yet.
    """
    keys = [f"partition.{column}" for column in table.schema.partition_by]
    sums = [("path", "count"), ("num_records", "sum"), ("size_bytes", "sum")]
    grouped = (
        pa.TableGroupBy(table.files(), keys).aggregate(sums).sort_by([(key, "ascending") for key in keys])
    )
    return [
        PartitionFolder(
            name="/".join(
                f"{column}={row[key]}" for column, key in zip(table.schema.partition_by, keys, strict=True)
            ),
            files=row["path_count"],
            rows=row["num_records_sum"],
            bytes=row["size_bytes_sum"],
        )
        for row in grouped.to_pylist()
    ]
