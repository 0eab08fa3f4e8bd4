"""Compaction, vacuum and log clean-up: fewer files, the same rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.schemas import BRONZE, SILVER
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.layout import partition_folders
from ecom_lakehouse.lake.maintenance import compact_closed_hours, maintain, remove_old_files
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.lake.rows import HOUR, stored_rows

NEXT_HOUR = HOUR + timedelta(hours=1)


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, home=tmp_path)


@pytest.fixture
def lake(lake_settings: Settings) -> Lake:
    lake = Lake(lake_settings)
    for table in lake.tables:
        table.create_if_missing()
    return lake


@pytest.fixture
def spark(lake_settings: Settings) -> Iterator[SparkSession]:
    with spark_session(lake_settings) as session:
        yield session


def fill(lake: Lake, spark: SparkSession, slices: int, event_hours: int = 1) -> None:
    for slice_id in range(1, slices + 1):
        for table in lake.tables:
            rows = stored_rows(
                spark, table.schema, slice_id, 12, first_offset=12 * slice_id, event_hours=event_hours
            )
            table.replace_slice(rows, slice_id, HOUR)


def test_a_closed_hour_of_many_slices_becomes_one_file_with_the_same_rows(
    lake_settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    fill(lake, spark, 10)
    before = {table.uri: table.arrow().sort_by("kafka_offset") for table in lake.tables}
    done = maintain(lake_settings, NEXT_HOUR)
    assert [(each.files_before, each.files_after, each.put_off) for each in done] == [(10, 1, False)] * 3
    for table in lake.tables:
        assert table.arrow().sort_by("kafka_offset").equals(before[table.uri])


def test_doing_it_again_does_nothing(lake_settings: Settings, lake: Lake, spark: SparkSession) -> None:
    fill(lake, spark, 8)
    maintain(lake_settings, NEXT_HOUR)
    version = lake.bronze.delta().version()
    maintain(lake_settings, NEXT_HOUR)
    assert lake.bronze.delta().version() == version


def test_the_running_hour_and_hours_with_few_files_are_left_alone(lake: Lake, spark: SparkSession) -> None:
    fill(lake, spark, 8)
    assert compact_closed_hours(lake.bronze, HOUR + timedelta(minutes=59))
    assert lake.bronze.files().num_rows == 8
    fill(lake, spark, 7, event_hours=3)
    assert compact_closed_hours(lake.silver, NEXT_HOUR + timedelta(days=1))
    assert sorted(folder.files for folder in partition_folders(lake.silver)) == [1, 7, 7]


def test_event_hours_of_many_days_are_compacted(lake: Lake, spark: SparkSession) -> None:
    fill(lake, spark, 8, event_hours=12)
    assert lake.silver.files().num_rows == 96
    assert compact_closed_hours(lake.silver, NEXT_HOUR + timedelta(days=1))
    assert lake.silver.files().num_rows == 12
    assert lake.silver.known_slices() == dict.fromkeys(range(1, 9), 12)


def test_a_compacted_table_still_takes_and_replaces_slices(lake: Lake, spark: SparkSession) -> None:
    fill(lake, spark, 8)
    compact_closed_hours(lake.bronze, NEXT_HOUR)
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 3, 5), 3, HOUR)
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 9, 5), 9, HOUR)
    assert lake.bronze.known_slices() == {**dict.fromkeys(range(1, 9), 12), 3: 5, 9: 5}


def test_a_compaction_beside_a_writer_loses_and_repeats_nothing(
    lake_settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    fill(lake, spark, 8)
    done = threading.Event()

    def compact_all_the_time() -> None:
        while not done.is_set():
            compact_closed_hours(Lake(lake_settings).silver, NEXT_HOUR)

    compaction = threading.Thread(target=compact_all_the_time)
    compaction.start()
    try:
        for round_ in range(3):
            for slice_id in range(1, 9):
                rows = stored_rows(spark, SILVER, slice_id, 12 + round_, first_offset=12 * slice_id)
                lake.silver.replace_slice(rows, slice_id, HOUR)
    finally:
        done.set()
        compaction.join()
    assert lake.silver.known_slices() == dict.fromkeys(range(1, 9), 14)


def test_only_files_that_nobody_needs_any_more_are_removed(lake: Lake, spark: SparkSession) -> None:
    fill(lake, spark, 8)
    compact_closed_hours(lake.bronze, NEXT_HOUR)
    folder = Path(lake.bronze.uri, "ingest_date=2026-01-31", "ingest_hour=12")
    being_written = folder / "part-of-a-write-in-progress.parquet"
    of_a_killed_run = folder / "part-of-a-killed-run.parquet"
    for file in (being_written, of_a_killed_run):
        file.write_bytes(b"x")
    os.utime(of_a_killed_run, (0, 0))
    # The small files left the table just now: a reader may still be at them.
    assert remove_old_files(lake.bronze) == 1
    assert being_written.exists()
    assert not of_a_killed_run.exists()
    assert len(list(folder.glob("*.parquet"))) == 8 + 1 + 1


def test_missing_tables_need_no_maintenance(lake_settings: Settings) -> None:
    assert maintain(lake_settings) == []
