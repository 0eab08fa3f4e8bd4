"""One session on the engine for all tests of the core: Sail, or the Spark that SPARK_REMOTE names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.settings import Settings


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    home: Path = tmp_path_factory.mktemp("core")
    with spark_session(Settings(home=home)) as session:
        yield session
