"""One pipeline a test: its own topic, database and lake on the session's Kafka and Postgres."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.pipeline import Pipeline


@pytest.fixture
def pipeline(settings: Settings, topic: str) -> Iterator[Pipeline]:
    """A pipeline with nothing in it."""
    pipeline = Pipeline(settings)
    yield pipeline
    pipeline.close()
