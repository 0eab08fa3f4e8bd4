"""Totals, changes and axes from the API's rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecom_lakehouse.serving.dashboard import kpi_data
from ecom_lakehouse.serving.dashboard.kpi_data import Expected, Point

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def row(minute: int, metric: str, value: float | None, provisional: bool = False) -> dict[str, Any]:
    return {
        "window_start": (NOON + minute * MINUTE).isoformat(),
        "metric": metric,
        "value": value,
        "has_data": value is not None,
        "provisional": provisional,
    }


ROWS = [
    row(0, "events_click", 80),
    row(0, "events_purchase", 2),
    row(0, "revenue", 30.1),
    row(0, "aov", 15.05),
    row(1, "events_click", 20),
    row(1, "events_purchase", 3),
    row(1, "revenue", 0.2),
    row(2, "events_click", None),
    row(2, "events_purchase", None),
    row(3, "events_click", 50, provisional=True),
    row(3, "events_purchase", 1, provisional=True),
]


def test_totals_add_counts_up_and_take_ratios_of_the_sums() -> None:
    totals = kpi_data.totals(ROWS, NOON + 3 * MINUTE)
    assert (totals["events_click"], totals["events_purchase"], totals["revenue"]) == (100, 5, 30.3)
    assert totals["purchase_conversion"] == 0.05
    assert totals["aov"] == pytest.approx(30.3 / 5)


def test_totals_of_nothing_are_nothing() -> None:
    assert kpi_data.totals(ROWS, NOON) == {}


def test_closed_until_is_the_end_of_the_last_final_window() -> None:
    assert kpi_data.closed_until(ROWS, MINUTE) == NOON + 3 * MINUTE
    assert kpi_data.closed_until([row(0, "aov", 1, provisional=True)], MINUTE) is None


def test_ranges_compare_only_where_both_have_about_as_much_data() -> None:
    assert kpi_data.covers(ROWS, ROWS)
    assert not kpi_data.covers(ROWS[:4], ROWS)


def test_a_gap_is_a_point_without_a_value() -> None:
    assert [point.value for point in kpi_data.points(ROWS, "events_click")] == [80, 20, None, 50]


def test_minutes_without_a_band_are_left_out() -> None:
    scored = {"window_start": NOON.isoformat(), "baseline": 2, "lower": 1, "upper": 3}
    assert kpi_data.expectations([scored, {**scored, "lower": None}]) == [Expected(NOON, 2.0, 1.0, 3.0)]


def test_a_value_axis_moves_only_when_a_value_leaves_it_or_it_has_become_far_too_high() -> None:
    top = kpi_data.axis_top(170, None)
    assert top == 200
    assert kpi_data.axis_top(199, top) == 200
    assert kpi_data.axis_top(201, top) == 250
    assert kpi_data.axis_top(90, top) == 200
    assert kpi_data.axis_top(70, top) == 80
    assert kpi_data.axis_top(0, None) == 1
    assert kpi_data.axis_top(0.037, None) == pytest.approx(0.04)


def test_a_band_far_above_the_values_does_not_dwarf_them() -> None:
    values = [Point(NOON, 10.0, False)]
    assert kpi_data.needed_top(values, [Expected(NOON, 10, 5, 12)]) == 12
    assert kpi_data.needed_top(values, [Expected(NOON, 10, 5, 900)]) == 20
    assert kpi_data.needed_top([], []) == 0
