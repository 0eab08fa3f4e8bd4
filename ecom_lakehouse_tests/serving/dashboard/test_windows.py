"""Ranges, steps and axes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ecom_lakehouse.serving.dashboard.windows import (
    DAY,
    HOUR,
    LOOKBACKS,
    MINUTE,
    comparison,
    live_window,
    pinned_window,
)

NOW = datetime(2026, 3, 29, 0, 58, 12, tzinfo=UTC)  # the night in which Europe's clocks go forward


@pytest.mark.parametrize("lookback", LOOKBACKS.values())
def test_a_live_window_ends_with_the_running_step_and_is_as_long_as_asked(lookback: timedelta) -> None:
    window = live_window(lookback, NOW)
    assert window.length == lookback
    assert window.end - window.step_length < NOW <= window.end <= window.axis_end
    assert window.axis_end - window.axis_start == lookback
    assert lookback / window.step_length <= 1440


def test_minutes_up_to_a_day_hours_beyond() -> None:
    assert live_window(DAY, NOW).step == "minute"
    assert live_window(3 * DAY, NOW).step == "hour"


def test_the_axis_stands_still_while_minutes_pass() -> None:
    axes = {live_window(3 * HOUR, NOW + place * MINUTE).axis_end for place in range(60)}
    assert len(axes) == 60 / 5 + 1


def test_a_pinned_window_is_widened_to_whole_steps_and_stays() -> None:
    window = pinned_window(NOW - 2 * HOUR, NOW)
    assert (window.start, window.end) == (
        datetime(2026, 3, 28, 22, 58, tzinfo=UTC),
        datetime(2026, 3, 29, 0, 59, tzinfo=UTC),
    )
    assert (window.axis_start, window.axis_end) == (window.start, window.end)


@pytest.mark.parametrize("length", [timedelta(0), -HOUR, 31 * DAY])
def test_a_pinned_range_that_is_empty_or_too_long_is_refused(length: timedelta) -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        pinned_window(NOW - length, NOW)


def test_the_same_time_before_is_a_day_a_week_or_the_time_right_before() -> None:
    assert [comparison(length).shift for length in (3 * HOUR, DAY, 7 * DAY, 30 * DAY)] == [
        DAY,
        DAY,
        7 * DAY,
        30 * DAY,
    ]
