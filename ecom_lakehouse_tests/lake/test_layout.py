"""A table's partition folders, and how the command shows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecom_lakehouse.cli import app
from ecom_lakehouse.core.schemas import SILVER
from ecom_lakehouse.errors import TableError
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.layout import partition_folders
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings, load_settings
from ecom_lakehouse_tests.lake.rows import HOUR, stored_rows


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    load_settings.cache_clear()
    yield Lake(Settings(_env_file=None, home=tmp_path))
    load_settings.cache_clear()


def tree(layer: str) -> str:
    result = CliRunner().invoke(app, ["tree", layer])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_partitions_come_with_files_rows_and_bytes_and_a_total(lake: Lake) -> None:
    lake.silver.create_if_missing()
    with spark_session(Settings(_env_file=None)) as spark:
        for slice_id in (1, 2):
            lake.silver.replace_slice(stored_rows(spark, SILVER, slice_id, 10, event_hours=3), slice_id, HOUR)
    folders = partition_folders(lake.silver)
    assert [(each.name, each.files, each.rows) for each in folders] == [
        ("event_date=2026-01-31/event_hour=10", 2, 6),
        ("event_date=2026-01-31/event_hour=11", 2, 6),
        ("event_date=2026-01-31/event_hour=12", 2, 8),
    ]
    stored = sum(file.stat().st_size for file in Path(lake.silver.uri).rglob("event_hour=*/*.parquet"))
    assert sum(each.bytes for each in folders) == stored
    lines = tree("silver").splitlines()
    assert lines[0].rstrip() == lake.silver.uri
    assert lines[2].split()[:3] == ["event_date=2026-01-31/event_hour=10", "2", "6"]
    assert lines[-1].split()[:4] == ["3", "partitions", "6", "20"]


def test_an_empty_table_says_what_fills_it(lake: Lake) -> None:
    lake.bronze.create_if_missing()
    assert "make events" in tree("bronze")


def test_a_missing_table_says_what_makes_it(lake: Lake) -> None:
    with pytest.raises(TableError, match="make run"):
        tree("quarantine")
