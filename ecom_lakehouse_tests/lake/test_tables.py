"""A slice's rows in a Delta table: exactly once, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import Field
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from ecom_lakehouse.core.schemas import BRONZE, SILVER, TABLES
from ecom_lakehouse.errors import TableError, TopicError
from ecom_lakehouse.lake.delta_sql import in_event_hours, query
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.silver import in_hours
from ecom_lakehouse.lake.tables import Lake, LakeTable
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.lake.rows import HOUR, stored_rows


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, home=tmp_path)


@pytest.fixture
def spark(lake_settings: Settings) -> Iterator[SparkSession]:
    with spark_session(lake_settings) as session:
        yield session


@pytest.fixture
def lake(lake_settings: Settings) -> Lake:
    lake = Lake(lake_settings)
    for table in lake.tables:
        table.create_if_missing()
    return lake


def test_a_table_is_made_with_its_columns_comments_and_partitions(lake: Lake) -> None:
    for table, schema in zip(lake.tables, TABLES, strict=True):
        stored = table.delta().schema().fields
        assert [field.name for field in stored] == schema.column_names
        assert [field.nullable for field in stored] == [column.nullable for column in schema.columns]
        assert [field.metadata["comment"] for field in stored] == [
            column.description for column in schema.columns
        ]
        assert table.delta().metadata().partition_columns == list(schema.partition_by)


def test_making_a_table_twice_changes_nothing(lake: Lake) -> None:
    lake.bronze.create_if_missing()
    assert lake.bronze.delta().version() == 0


def test_a_table_with_other_columns_is_refused(lake_settings: Settings, lake: Lake) -> None:
    older = LakeTable(BRONZE, lake_settings)
    lake.bronze.delta().alter.add_columns(Field("colour", "string"))
    with pytest.raises(TableError, match="colour"):
        older.create_if_missing()


def test_a_missing_table_says_what_makes_it(lake_settings: Settings) -> None:
    with pytest.raises(TableError, match="make run"):
        Lake(lake_settings).bronze.delta()


def test_a_slice_written_twice_is_in_the_table_once(lake: Lake, spark: SparkSession) -> None:
    for _ in range(2):
        for table in lake.tables:
            for slice_id in (1, 2):
                written = table.replace_slice(stored_rows(spark, table.schema, slice_id, 10), slice_id, HOUR)
                assert written.rows == 10
    for table in lake.tables:
        assert table.known_slices() == {1: 10, 2: 10}


def test_a_slice_made_shorter_or_empty_loses_only_its_own_rows(lake: Lake, spark: SparkSession) -> None:
    for slice_id in (1, 2):
        lake.silver.replace_slice(stored_rows(spark, lake.silver.schema, slice_id, 10), slice_id, HOUR)
    assert lake.silver.replace_slice(stored_rows(spark, lake.silver.schema, 1, 4), 1, HOUR).rows == 4
    assert lake.silver.known_slices() == {1: 4, 2: 10}
    assert lake.silver.replace_slice(stored_rows(spark, lake.silver.schema, 1, 0), 1, HOUR).rows == 0
    assert lake.silver.known_slices() == {2: 10}


def test_a_slice_is_replaced_inside_a_compacted_file(lake: Lake, spark: SparkSession) -> None:
    for slice_id in (1, 2, 3):
        lake.bronze.replace_slice(
            stored_rows(spark, BRONZE, slice_id, 10, first_offset=10 * slice_id), slice_id, HOUR
        )
    lake.bronze.delta().optimize.compact()
    assert lake.bronze.files().num_rows == 1
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 2, 5, first_offset=20), 2, HOUR)
    assert lake.bronze.known_slices() == {1: 10, 2: 5, 3: 10}


@pytest.mark.parametrize(
    ("column", "value"), [("slice_id", 8), ("ingest_hour", 13), ("ingest_date", "2026-02-01")]
)
def test_a_row_of_another_slice_or_hour_is_refused_and_nothing_is_written(
    lake: Lake, spark: SparkSession, column: str, value: object
) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 7, 3), 7, HOUR)
    rows = stored_rows(spark, BRONZE, 7, 1000)
    astray = rows.withColumn(
        column,
        sf.when(sf.col("kafka_offset") == 999, sf.lit(value))
        .otherwise(sf.col(column))
        .cast(rows.schema[column].dataType),
    )
    with pytest.raises(TableError, match="another slice or hour"):
        lake.bronze.replace_slice(astray, 7, HOUR)
    assert lake.bronze.known_slices() == {7: 3}


def test_a_null_where_the_table_has_none_is_refused_and_nothing_is_written(
    lake: Lake, spark: SparkSession
) -> None:
    rows = stored_rows(spark, BRONZE, 1, 10).withColumn(
        "kafka_offset", sf.when(sf.col("kafka_offset") != 9, sf.col("kafka_offset"))
    )
    with pytest.raises(TableError, match="kafka_offset"):
        lake.bronze.replace_slice(rows, 1, HOUR)
    assert lake.bronze.known_slices() == {}


@pytest.mark.parametrize("rows_a_folder", [0, 1_000_000])
def test_a_null_in_a_row_that_is_filtered_away_refuses_nothing(
    lake: Lake, spark: SparkSession, tmp_path: Path, rows_a_folder: int
) -> None:
    # Sail checks for nulls before the filter where nothing stands between filter and write.
    rows = stored_rows(spark, SILVER, 1, 1000).withColumn(
        "event_version", sf.when(sf.col("kafka_offset") % 2 == 0, 1)
    )
    rows.write.parquet(str(tmp_path / "judged"))
    valid = spark.read.parquet(str(tmp_path / "judged")).where(sf.col("event_version").isNotNull())
    assert lake.silver.replace_slice(valid, 1, HOUR, rows_a_folder).rows == 500


def test_a_large_slice_is_a_handful_of_files(lake: Lake, spark: SparkSession) -> None:
    rows = stored_rows(spark, SILVER, 1, 1000)
    assert lake.silver.replace_slice(rows, 1, HOUR, rows_a_folder=1_000_000).files == 5


def test_a_frame_with_other_columns_is_refused(lake: Lake, spark: SparkSession) -> None:
    rows = stored_rows(spark, BRONZE, 1, 1)
    with pytest.raises(TableError, match="price"):
        lake.bronze.replace_slice(rows.withColumn("price", sf.lit(1.5)), 1, HOUR)
    with pytest.raises(TableError, match="colour"):
        lake.bronze.replace_slice(rows.withColumn("colour", sf.lit("red")), 1, HOUR)


def test_what_a_function_refuses_in_the_engine_reaches_the_caller(lake: Lake, spark: SparkSession) -> None:
    def refuse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        raise TopicError("offsets 3 to 5 are gone")
        yield from batches

    rows = stored_rows(spark, BRONZE, 1, 1).mapInArrow(refuse, BRONZE.struct)
    with pytest.raises(TopicError, match="offsets 3 to 5 are gone"):
        lake.bronze.replace_slice(rows, 1, HOUR)


BEGUN, GO_ON = threading.Event(), threading.Event()


def when_told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, once the test says so; Sail runs it in this process."""
    for batch in batches:
        BEGUN.set()
        assert GO_ON.wait(30)
        yield batch


@pytest.mark.parametrize("replaced", [2, 4])
def test_a_write_that_meets_a_compaction_is_done_again(
    lake_settings: Settings, lake: Lake, spark: SparkSession, replaced: int
) -> None:
    for slice_id in (1, 2, 3):
        lake.bronze.replace_slice(stored_rows(spark, BRONZE, slice_id, 10), slice_id, HOUR)
    BEGUN.clear()
    GO_ON.clear()
    rows = stored_rows(spark, BRONZE, replaced, 5).mapInArrow(when_told, BRONZE.struct)

    def compact() -> None:
        assert BEGUN.wait(30)
        Lake(lake_settings).bronze.delta().optimize.compact()
        GO_ON.set()

    compaction = threading.Thread(target=compact)
    compaction.start()
    lake.bronze.replace_slice(rows, replaced, HOUR)
    compaction.join()
    assert lake.bronze.known_slices() == {1: 10, 2: 10, 3: 10, replaced: 5}


def test_a_slice_is_one_file_a_partition_folder(lake: Lake, spark: SparkSession) -> None:
    assert lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 1000), 1, HOUR).files == 1
    written = lake.silver.replace_slice(
        stored_rows(spark, lake.silver.schema, 1, 1000, event_hours=50), 1, HOUR
    )
    assert written.files == 50


def test_raw_messages_are_not_copied_into_the_log(lake: Lake, spark: SparkSession) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 2, raw_json="x" * 100_000), 1, HOUR)
    log = max(Path(lake.bronze.uri, "_delta_log").glob("*.json"))
    assert log.stat().st_size < 10_000


def test_questions_about_a_slice_are_answered_without_an_engine(lake: Lake, spark: SparkSession) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 3, 10, first_offset=40), 3, HOUR)
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 4, 5, first_offset=50), 4, HOUR)
    assert lake.bronze.slice_rows(3) == 10
    assert lake.bronze.slice_rows(5) == 0
    assert lake.bronze.slice_offsets(4) == {0: (50, 54)}
    assert lake.bronze.slice_offsets(5) == {}
    assert lake.bronze.known_slices(after=3) == {4: 5}
    assert lake.bronze.slice_arrow(3, HOUR, ["kafka_offset"])["kafka_offset"].to_pylist() == list(
        range(40, 50)
    )
    assert lake.bronze.slice_arrow(3, HOUR, limit=2).num_rows == 2
    assert lake.bronze.slice_arrow(3, HOUR).schema.field("price").type == pa.decimal128(18, 4)
    size = lake.bronze.slice_size(3, HOUR)
    assert (size.rows, size.files) == (10, 1)
    assert size.bytes in lake.bronze.files()["size_bytes"].to_pylist()


def test_a_slices_share_of_a_compacted_file_is_counted(lake: Lake, spark: SparkSession) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 30), 1, HOUR)
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 2, 10, first_offset=30), 2, HOUR)
    lake.bronze.delta().optimize.compact()
    size, whole = lake.bronze.slice_size(2, HOUR), lake.bronze.files()["size_bytes"][0].as_py()
    assert (size.rows, size.files, size.bytes) == (10, 1, whole // 4)


def test_a_slice_is_read_back_from_its_own_files(lake: Lake, spark: SparkSession) -> None:
    for slice_id in (1, 2):
        lake.bronze.replace_slice(stored_rows(spark, BRONZE, slice_id, 10), slice_id, HOUR)
    # With the other slice's file gone, a read that opened it would fail.
    other = next(row["path"] for row in lake.bronze.files().to_pylist() if row["min.slice_id"] == 1)
    Path(lake.bronze.uri, other).unlink()
    assert lake.bronze.read_slice(spark, 2, HOUR).count() == 10
    assert lake.bronze.slice_rows(2) == 10


def test_files_that_are_gone_can_be_forgotten_and_written_anew(lake: Lake, spark: SparkSession) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 10), 1, HOUR)
    for file in Path(lake.bronze.uri).rglob("*.parquet"):
        file.unlink()
    assert lake.bronze.forget_missing_files() == 1
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 10), 1, HOUR)
    assert lake.bronze.known_slices() == {1: 10}


def test_a_year_of_event_hours_is_asked_for_by_day_and_not_as_one_span(
    lake: Lake, spark: SparkSession
) -> None:
    lake.silver.replace_slice(stored_rows(spark, SILVER, 1, 48, event_hours=48), 1, HOUR)
    hours = {HOUR - timedelta(hours=1)} | {HOUR - timedelta(days=day) for day in range(2, 400)}
    assert lake.silver.read(spark).where(in_hours(hours)).count() == 1
    found = query(
        {"silver": lake.silver}, f"select count(*) as rows from silver where {in_event_hours(hours)}"
    )
    assert found["rows"].to_pylist() == [1]
