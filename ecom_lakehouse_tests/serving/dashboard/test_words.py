"""Numbers, times and changes as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse.serving.dashboard.words import (
    METRIC_WORDS,
    Form,
    change,
    duration,
    metric_words,
    moment,
    number,
    size,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (None, Form.COUNT, "–"),
        (0, Form.COUNT, "0"),
        (1234, Form.COUNT, "1,234"),
        (0.5, Form.COUNT, "0.5"),
        (271_400, Form.COUNT, "271k"),
        (1_554_000, Form.COUNT, "1.55M"),
        (51_800_000, Form.COUNT, "51.8M"),
        (58.5, Form.MONEY, "€58.50"),
        (1234.5, Form.MONEY, "€1,234"),
        (-3.1, Form.MONEY, "-€3.10"),
        (0.0351, Form.SHARE, "3.5 %"),
    ],
)
def test_a_number_has_as_many_digits_as_help(value: float | None, form: Form, shown: str) -> None:
    assert number(value, form) == shown


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [
        (112.5, 100, "+12.5 %"),
        (50, 100, "-50.0 %"),
        (400, 100, "+300 %"),
        (1, 0, None),
        (None, 1, None),
        (1, None, None),
    ],
)
def test_a_change_is_in_percent_and_none_where_there_is_nothing_to_compare_with(
    now: float | None, before: float | None, shown: str | None
) -> None:
    assert change(now, before) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (95, "1 min 35 s"),
        (660, "11 min"),
        (7500, "2 h 5 min"),
        (3600, "1 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_length_of_time_is_in_its_two_largest_units(seconds: int, shown: str) -> None:
    assert duration(timedelta(seconds=seconds)) == shown


def test_a_time_is_in_the_viewers_zone_with_a_date_only_where_it_is_not_today() -> None:
    at = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    assert moment(at, UTC, now=at) == "23:30"
    assert moment(at, BERLIN, now=at) == "00:30"
    assert moment(at, BERLIN, now=at - timedelta(hours=2)) == "01 Feb 00:30"
    assert moment(None, UTC) == "–"


def test_every_kpi_has_words_and_an_unknown_metric_a_readable_name() -> None:
    assert set(METRIC_WORDS) == set(METRIC_NAMES)
    assert metric_words("basket_size").title == "Basket size"


def test_bytes_are_in_the_unit_that_fits() -> None:
    assert [size(count) for count in (None, 812, 80_400, 1_240_000)] == ["–", "812 B", "80 kB", "1.2 MB"]
