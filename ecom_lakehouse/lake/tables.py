"""The lake's Delta tables: where they are, how they are made, and a slice's rows replaced in them.

Spark writes and reads frames; delta-rs creates the tables and answers small questions from the Delta log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, Field, QueryBuilder, Schema
from deltalake.exceptions import TableNotFoundError
from pyspark.errors import PySparkException
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from ecom_lakehouse.core.schemas import BRONZE, QUARANTINE, SILVER, TableSchema
from ecom_lakehouse.errors import TableError
from ecom_lakehouse.lake.engine import refusal
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PATHS = {
    BRONZE.name: "bronze/ecom_events/v1",
    SILVER.name: "silver/ecom_events/v1",
    QUARANTINE.name: "quarantine/ecom_events/v1",
}

PROPERTIES = {
    # Only what is asked for by range: without this every raw message would have its minimum and maximum
    # copied into the log.
    "delta.dataSkippingStatsColumns": "slice_id,kafka_partition,kafka_offset,kafka_timestamp,event_time",
    # A commit a minute: a checkpoint every 20 keeps a reader from opening more than 20 small files.
    "delta.checkpointInterval": "20",
    # How far back time travel reaches, and how long a reader may go on with the files it began with.
    "delta.logRetentionDuration": "interval 2 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}

WRITE_ATTEMPTS = 5

ROWS_A_FILE = 250_000
MOST_FILES_A_FOLDER = 8
"""A slice gets one file a partition folder; where that would be a large one, as many as cores can share."""

_CONFLICT = re.compile(r"Failed to commit transaction|DELTA_CONCURRENT|Concurrent\w+Exception")


@dataclass(frozen=True)
class SliceSize:
    """What a table holds of a slice. Files that it shares with other slices count in part of their bytes."""

    rows: int
    files: int
    bytes: int


@dataclass(frozen=True)
class Written:
    """What a write put into the table, and the table's version since."""

    rows: int
    files: int
    bytes: int
    version: int


class Lake:
    """The three tables under one root."""

    def __init__(self, settings: Settings) -> None:
        self.bronze = LakeTable(BRONZE, settings)
        self.silver = LakeTable(SILVER, settings)
        self.quarantine = LakeTable(QUARANTINE, settings)
        self.tables = (self.bronze, self.silver, self.quarantine)


class LakeTable:
    """One Delta table: its schema, its place, and the slices in it."""

    def __init__(self, schema: TableSchema, settings: Settings) -> None:
        self.schema = schema
        self.uri = f"{settings.lake_root.rstrip('/')}/{PATHS[schema.name]}"
        self._storage_options = settings.storage_options
        self._opened: DeltaTable | None = None

    def __repr__(self) -> str:
        return f"LakeTable({self.uri})"

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow has them; timestamps are UTC."""
        return to_arrow_schema(self.schema.struct, timezone="UTC")

    def exists(self) -> bool:
        """Whether there is such a table."""
        return DeltaTable.is_deltatable(self.uri, self._storage_options or None)

    def create_if_missing(self) -> None:
        """Makes the table, empty, where there is none; two at once make one.

        Raises:
            TableError: a table is there whose columns are not these.
        """
        if not self.exists():
            fields = Schema.from_json(self.schema.struct.json()).fields
            comments = {column.name: {"comment": column.description} for column in self.schema.columns}
            DeltaTable.create(
                self.uri,
                Schema(
                    [
                        Field(each.name, each.type, nullable=each.nullable, metadata=comments[each.name])
                        for each in fields
                    ]
                ),
                mode="ignore",
                partition_by=list(self.schema.partition_by),
                name=self.schema.name,
                description=self.schema.description,
                configuration=PROPERTIES,
                storage_options=self._storage_options or None,
            )
        stored = [field.name for field in self.delta().schema().fields]
        if stored != self.schema.column_names:
            differing = sorted(set(stored) ^ set(self.schema.column_names)) or stored
            raise TableError(
                f"{self.uri} has other columns than this version writes (differing: {', '.join(differing)}); "
                "point LAKEHOUSE_LAKE_ROOT at a new root, or bring the table up to date first."
            )

    def delta(self) -> DeltaTable:
        """The table by delta-rs, at its newest version.

        Raises:
            TableError: there is no such table yet.
        """
        try:
            if self._opened is None:
                self._opened = DeltaTable(self.uri, storage_options=self._storage_options or None)
            else:
                self._opened.update_incremental()
        except TableNotFoundError as error:
            raise TableError(
                f"There is no table at {self.uri} yet; the first slice makes it (`make run`, `make events`)."
            ) from error
        return self._opened

    def read(self, spark: SparkSession) -> DataFrame:
        """The whole table."""
        return spark.read.format("delta").load(self.uri)

    def read_slice(self, spark: SparkSession, slice_id: int, hour: datetime) -> DataFrame:
        """A slice's rows; in tables by hour of ingestion only files of that hour are opened."""
        rows = self.read(spark).where(sf.col("slice_id") == slice_id)
        if "ingest_hour" in self.schema.partition_by:
            rows = rows.where(
                (sf.col("ingest_date") == sf.lit(hour.date())) & (sf.col("ingest_hour") == hour.hour)
            )
        return rows

    def arrow(
        self, columns: Sequence[str] | None = None, where: str = "true", limit: int | None = None
    ) -> pa.Table:
        """Rows by a SQL condition, without an engine; files are skipped by partition and statistics."""
        wanted = list(columns or self.schema.column_names)
        bound = "" if limit is None else f" limit {limit}"
        found = self._query(f"select {', '.join(wanted)} from stored where {where}{bound}")
        return found.cast(pa.schema([self.arrow_schema.field(name).with_nullable(True) for name in wanted]))

    def slice_arrow(
        self, slice_id: int, hour: datetime, columns: Sequence[str] | None = None, limit: int | None = None
    ) -> pa.Table:
        """A slice's rows as Arrow."""
        return self.arrow(columns, f"slice_id = {slice_id}{self._and_in_hour(hour)}", limit)

    def slice_rows(self, slice_id: int) -> int:
        """How many rows the table holds of a slice."""
        found = self._query(f"select count(*) as rows from stored where slice_id = {slice_id}")
        return int(found["rows"][0].as_py())

    def slice_offsets(self, slice_id: int) -> dict[int, tuple[int, int]]:
        """The first and last offset stored of a slice, by Kafka partition."""
        found = self._query(
            "select kafka_partition, min(kafka_offset) as first, max(kafka_offset) as last from stored "
            f"where slice_id = {slice_id} group by kafka_partition order by kafka_partition"
        )
        return {row["kafka_partition"]: (row["first"], row["last"]) for row in found.to_pylist()}

    def known_slices(self, after: int = 0) -> dict[int, int]:
        """The rows of each slice beyond `after`, by slice id; older files are not opened."""
        found = self._query(
            f"select slice_id, count(*) as rows from stored where slice_id > {after} "
            "group by slice_id order by slice_id"
        )
        return {row["slice_id"]: row["rows"] for row in found.to_pylist()}

    def slice_size(self, slice_id: int, hour: datetime) -> SliceSize:
        """A slice's rows, and the files that hold them with the bytes of its share in them."""
        rows = self._query(
            f"select count(*) as rows from stored where slice_id = {slice_id}{self._and_in_hour(hour)}"
        )["rows"][0].as_py()
        adds = self.files()
        holds = pc.and_(
            pc.less_equal(adds["min.slice_id"], slice_id), pc.greater_equal(adds["max.slice_id"], slice_id)
        )
        holding = adds.filter(holds)
        stored = pc.sum(holding["num_records"]).as_py() or 0
        size = pc.sum(holding["size_bytes"]).as_py() or 0
        return SliceSize(rows, holding.num_rows, size * rows // stored if stored else 0)

    def files(self) -> pa.Table:
        """The table's files as the Delta log has them: path, size_bytes, num_records, partition.…, min.…, max.…"""
        return pa.table(self.delta().get_add_actions(flatten=True))

    def replace_slice(
        self, frame: DataFrame, slice_id: int, hour: datetime, rows_a_folder: int = 0
    ) -> Written:
        """Replaces exactly the slice's rows by the frame's, in one commit; tries again where another came between.

        Each partition folder gets one file, or several where about `rows_a_folder` rows come into each.
        When it fails the table is as it was.

        Raises:
            TableError: a row is of another slice or hour, a column is not what the table has, or the engine
                could not write.
            LakehouseError: what a function of ours refused inside the engine (a TopicError for the Kafka source).
        """
        rows = self._laid_out(self._checked(frame, slice_id, hour), rows_a_folder)
        write = rows.write.format("delta").mode("overwrite").option("replaceWhere", f"slice_id = {slice_id}")
        before = self.delta().version()
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            try:
                write.save(self.uri)
                break
            except PySparkException as error:
                if attempt < WRITE_ATTEMPTS and _CONFLICT.search(str(error)):
                    continue
                raise refusal(error) or TableError(
                    f"Slice {slice_id} was not written to {self.uri}, which is as it was: "
                    f"{str(error).strip().splitlines()[0]}"
                ) from error
        return self._written(slice_id, hour, before)

    def missing_files(self) -> list[str]:
        """The files, by their path in the table, that the log has and storage no longer."""
        return sorted(self.delta().repair(dry_run=True)["files_removed"])

    def forget_missing_files(self) -> int:
        """Takes files out of the log that are no longer in storage, so that what they held can be written anew."""
        return len(self.delta().repair()["files_removed"])

    def _checked(self, frame: DataFrame, slice_id: int, hour: datetime) -> DataFrame:
        """The frame in the table's columns; a row outside the slice fails the write (Sail does not look)."""
        wanted = [(field.name, field.dataType) for field in self.schema.struct.fields]
        given = {field.name: field.dataType for field in frame.schema.fields}
        wrong = [name for name, type_ in wanted if name not in given or _loose(given[name]) != _loose(type_)]
        if wrong or len(given) != len(wanted):
            extra = sorted(set(given) - {name for name, _ in wanted})
            raise TableError(
                f"A frame for {self.uri} has other columns than the table: wrong or missing {wrong}, extra {extra}."
            )
        inside = (
            (sf.col("slice_id") == slice_id)
            & (sf.col("ingest_date") == sf.lit(hour.date()))
            & (sf.col("ingest_hour") == hour.hour)
        )
        message = f"a row of another slice or hour among those of slice {slice_id}, hour {hour:%Y-%m-%dT%H}"
        checked = sf.when(inside, sf.col("slice_id")).otherwise(sf.raise_error(sf.lit(message)).cast("long"))
        return frame.withColumn("slice_id", checked).select(*self.schema.column_names)

    def _laid_out(self, frame: DataFrame, rows_a_folder: int) -> DataFrame:
        """By partition folder: a year of event hours in one slice makes 8,760 files, not as many a core.

        Always some exchange: without one Sail checks what may not be null before a filter takes rows away.
        """
        files = min(MOST_FILES_A_FOLDER, 1 + rows_a_folder // ROWS_A_FILE)
        return frame.repartition(files) if files > 1 else frame.repartition(*self.schema.partition_by)

    def _written(self, slice_id: int, hour: datetime, before: int) -> Written:
        size = self.slice_size(slice_id, hour)
        return Written(size.rows, size.files, size.bytes, max(before, self.delta().version()))

    def _and_in_hour(self, hour: datetime) -> str:
        if "ingest_hour" not in self.schema.partition_by:
            return ""
        return f" and ingest_date = date '{hour:%Y-%m-%d}' and ingest_hour = {hour.hour}"

    def _query(self, statement: str) -> pa.Table:
        found = QueryBuilder().register("stored", self.delta()).execute(statement)
        return pa.table(found.read_all())


def _loose(type_: object) -> object:
    """A Spark type without its promises on nulls, which the table checks itself."""
    if isinstance(type_, StructType):
        return tuple((field.name, _loose(field.dataType)) for field in type_.fields)
    element = getattr(type_, "elementType", None)
    return ("array", _loose(element)) if element is not None else type_
