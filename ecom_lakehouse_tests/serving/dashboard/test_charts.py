"""Charts: a specification that stands still, and the data that moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import vl_convert

from ecom_lakehouse.serving.dashboard import charts
from ecom_lakehouse.serving.dashboard.charts import Look
from ecom_lakehouse.serving.dashboard.kpi_data import Expected, Point
from ecom_lakehouse.serving.dashboard.palette import DARK, LIGHT
from ecom_lakehouse.serving.dashboard.windows import HOUR, MINUTE, Window, live_window
from ecom_lakehouse.serving.dashboard.words import metric_words

NOW = datetime(2026, 1, 31, 12, 1, 30, tzinfo=UTC)
REVENUE = metric_words("revenue")


def values(window: Window, provisional: int = 2) -> list[Point]:
    count = window.length // window.step_length
    return [
        Point(
            window.start + place * MINUTE, None if place == 5 else 100.0 + place, place >= count - provisional
        )
        for place in range(count)
    ]


def alert(start: datetime, **given: Any) -> dict[str, Any]:
    return {
        "window_start": start.isoformat(),
        "last_window": (start + 4 * MINUTE).isoformat(),
        "severity": "critical",
        "state": "open",
        "reason": "why",
        **given,
    }


def test_a_refresh_changes_the_data_and_not_the_specification() -> None:
    first, second = live_window(HOUR, NOW), live_window(HOUR, NOW + 20 * timedelta(seconds=1))
    assert charts.metric_spec(REVENUE, first, Look(LIGHT, UTC, 200)) == charts.metric_spec(
        REVENUE, second, Look(LIGHT, UTC, 200)
    )
    other = charts.metric_spec(REVENUE, first, Look(LIGHT, UTC, 300))
    assert "range of the" not in str(other), "every axis has got its range"


def test_final_and_provisional_values_are_lines_of_their_own_that_meet() -> None:
    window = live_window(HOUR, NOW)
    data = charts.metric_data(REVENUE, values(window), [], [], window, UTC)
    assert data["closed"].num_rows == 58
    assert data["open"].num_rows == 3
    assert data["open"]["at"][0] == data["closed"]["at"][-1]
    assert data["points"]["state"].to_pylist()[-2:] == ["not final yet"] * 2
    assert data["closed"]["value"][5].as_py() is None


def test_all_final_leaves_no_open_end() -> None:
    window = live_window(HOUR, NOW)
    data = charts.metric_data(REVENUE, values(window, provisional=0), [], [], window, UTC)
    assert (data["closed"].num_rows, data["open"].num_rows) == (60, 0)


def test_an_alert_is_marked_on_the_line_where_it_begins() -> None:
    window = live_window(HOUR, NOW)
    start = window.start + 10 * MINUTE
    data = charts.metric_data(REVENUE, values(window), [], [alert(start)], window, UTC)
    (marked,) = data["alerts"].to_pylist()
    assert (marked["value"], marked["severity"], marked["title"]) == (110.0, "critical", "Critical")
    assert marked["until"] - marked["at"] == 5 * 60_000


def test_a_chart_is_a_picture_in_light_and_dark_small_and_large() -> None:
    window = live_window(HOUR, NOW)
    bands = [Expected(window.start + place * MINUTE, 100, 90, 180) for place in range(60)]
    data = charts.metric_data(
        REVENUE, values(window), bands, [alert(window.start + 10 * MINUTE)], window, UTC
    )
    assert charts.png(REVENUE, window, 200, data).startswith(b"\x89PNG")
    rows = {name: table.to_pylist() for name, table in data.items()}
    for colours in (LIGHT, DARK):
        spec = charts.metric_spec(REVENUE, window, Look(colours, UTC, 200, small=True))
        svg = vl_convert.vegalite_to_svg({**spec, "datasets": rows})
        assert colours.critical in svg
        assert colours.band in svg
