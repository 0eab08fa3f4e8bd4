"""The lake on an S3 server: the same tables, the same promises."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.core.schemas import BRONZE, SILVER
from ecom_lakehouse.errors import TableError
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.layout import partition_folders
from ecom_lakehouse.lake.maintenance import maintain
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import LOCALHOST, Settings
from ecom_lakehouse.stack.ports import free_port, is_listening
from ecom_lakehouse_tests.lake.rows import HOUR, stored_rows


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    port = free_port()
    # A process of its own: delta-rs keeps Python's lock while it waits for some of the answers.
    server = subprocess.Popen(
        [sys.executable, "-c", f"from moto.server import main; main(['-H', '{LOCALHOST}', '-p', '{port}'])"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not is_listening(port):
            assert time.monotonic() < deadline, "the S3 server did not start"
            assert server.poll() is None, "the S3 server ended"
            time.sleep(0.05)
        yield f"http://{LOCALHOST}:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def s3_settings(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "lakehouse",
        "AWS_SECRET_ACCESS_KEY": "lakehouse",
    }.items():
        monkeypatch.setenv(name, value)
    # A name of the test's own: engines remember where they found a bucket.
    bucket = f"lake-{tmp_path.name.replace('_', '-')[:40].lower()}-{free_port()}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    client.close()
    return Settings(_env_file=None, home=tmp_path, lake_root=f"s3://{bucket}/root")


@pytest.fixture
def lake(s3_settings: Settings) -> Lake:
    lake = Lake(s3_settings)
    for table in lake.tables:
        table.create_if_missing()
    return lake


@pytest.fixture
def spark(s3_settings: Settings) -> Iterator[SparkSession]:
    with spark_session(s3_settings) as session:
        yield session


BEGUN, GO_ON = threading.Event(), threading.Event()


def when_told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, once the test says so; Sail runs it in this process."""
    for batch in batches:
        BEGUN.set()
        assert GO_ON.wait(30)
        yield batch


def test_slices_are_replaced_compacted_and_read_on_s3(
    s3_settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    for slice_id in (*range(1, 9), 3):
        rows = stored_rows(spark, SILVER, slice_id, 10, event_hours=2)
        assert lake.silver.replace_slice(rows, slice_id, HOUR).rows == 10
    assert [each.files for each in partition_folders(lake.silver)] == [8, 8]
    maintain(s3_settings, HOUR + timedelta(days=1))
    assert [each.files for each in partition_folders(lake.silver)] == [1, 1]
    lake.silver.replace_slice(stored_rows(spark, SILVER, 5, 4), 5, HOUR)
    assert lake.silver.known_slices() == {**dict.fromkeys(range(1, 9), 10), 5: 4}
    assert lake.silver.read(spark).count() == 74


def test_a_write_that_meets_another_commit_on_s3_is_done_again(
    s3_settings: Settings, lake: Lake, spark: SparkSession
) -> None:
    for slice_id in (1, 2):
        lake.bronze.replace_slice(stored_rows(spark, BRONZE, slice_id, 10), slice_id, HOUR)
    rows = stored_rows(spark, BRONZE, 2, 5).mapInArrow(when_told, BRONZE.struct)

    def compact() -> None:
        assert BEGUN.wait(30)
        Lake(s3_settings).bronze.delta().optimize.compact()
        GO_ON.set()

    compaction = threading.Thread(target=compact)
    compaction.start()
    lake.bronze.replace_slice(rows, 2, HOUR)
    compaction.join()
    assert lake.bronze.known_slices() == {1: 10, 2: 5}


def test_a_write_that_fails_on_s3_leaves_the_table_as_it_was(lake: Lake, spark: SparkSession) -> None:
    lake.bronze.replace_slice(stored_rows(spark, BRONZE, 1, 10), 1, HOUR)
    version = lake.bronze.delta().version()
    with pytest.raises(TableError, match="another slice or hour"):
        lake.bronze.replace_slice(stored_rows(spark, BRONZE, 2, 10), 1, HOUR)
    assert lake.bronze.delta().version() == version
