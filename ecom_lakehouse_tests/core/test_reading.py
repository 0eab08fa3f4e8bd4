"""The independent reading must itself agree with the vectors, or it could not judge anything."""

from __future__ import annotations

import pytest

from ecom_lakehouse_tests.core.reading import read
from ecom_lakehouse_tests.core.vectors import VECTORS, Vector


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_plain_reading_agrees_with_the_vectors(vector: Vector) -> None:
    assert read(vector.value, vector.broker_time) == (vector.codes, vector.typed)
