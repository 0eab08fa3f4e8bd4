"""Charts of quality by hour: the share of messages that break rules, and which rules these are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import altair as alt
import pandas as pd

from ecom_lakehouse.serving.dashboard.kpi_data import Row
from ecom_lakehouse.serving.dashboard.palette import Palette
from ecom_lakehouse.serving.dashboard.words import Form, moment, number

BROKEN_HEIGHT = 180
RULE_HEIGHT = 26
AXIS_HEIGHT = 60
FULL_COLOUR_SHARE = 0.1
HOUR_MS = 3_600_000


def broken_chart(hours: Sequence[Row], zone: tzinfo, colours: Palette, top: float) -> alt.Chart:
    """A bar an hour: the share of its messages that broke a rule; nothing where there were none."""
    shares = [None if hour["share_passing"] is None else 1 - hour["share_passing"] for hour in hours]
    frame = pd.DataFrame(
        {
            **_times(hours, zone),
            "share": pd.Series(shares, dtype="float64"),
            "broken": [number(share, Form.SHARE) for share in shares],
            "passing": [number(hour["share_passing"], Form.SHARE) for hour in hours],
            "messages": [f"{hour['messages']:,}" for hour in hours],
            "state": ["not final yet" if hour["provisional"] else "final" for hour in hours],
        }
    )
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_rect(color=colours.accent)
        .encode(
            _hours_axis(hours, zone),
            alt.X2("until:T"),
            alt.Y(
                "share:Q",
                scale=alt.Scale(domain=[0, top], nice=False),
                axis=alt.Axis(
                    title=None, format="~%", tickCount=5, gridColor=colours.grid, domain=False, minExtent=40
                ),
            ),
            alt.Y2(datum=0),
            opacity=alt.Opacity(
                "state:N", scale=alt.Scale(domain=["final", "not final yet"], range=[0.9, 0.45]), legend=None
            ),
            tooltip=[
                alt.Tooltip("when:N", title="Hour"),
                alt.Tooltip("broken:N", title="Break a rule"),
                alt.Tooltip("passing:N", title="Pass"),
                alt.Tooltip("messages:N", title="Messages"),
                alt.Tooltip("state:N", title="State"),
            ],
        )
        .properties(height=BROKEN_HEIGHT)
    )
    return chart


def rules_chart(hours: Sequence[Row], broken: Sequence[Row], zone: tzinfo, colours: Palette) -> alt.Chart:
    """A row a rule, a cell an hour: the larger the share of messages that broke it, the stronger the colour."""
    cells = [(hour, rule) for hour in hours for rule in hour["rules"]]
    frame = pd.DataFrame(
        {
            **_times([hour for hour, _ in cells], zone),
            "rule": [rule["code"] for _, rule in cells],
            "share": pd.Series([rule["share"] for _, rule in cells], dtype="float64"),
            "shown": [number(rule["share"], Form.SHARE) for _, rule in cells],
            "passing": [number(1 - rule["share"], Form.SHARE) for _, rule in cells],
            "rows": [f"{rule['rows']:,}" for _, rule in cells],
            "verdict": [rule["verdict"] for _, rule in cells],
        }
    )
    order = [rule["code"] for rule in sorted(broken, key=lambda rule: -rule["rows"])]
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_rect(stroke=None)
        .encode(
            _hours_axis(hours, zone),
            alt.X2("until:T"),
            alt.Y(
                "rule:N",
                sort=order,
                axis=alt.Axis(title=None, labelLimit=320, ticks=False, domain=False, labelPadding=8),
            ),
            color=alt.Color(
                "share:Q",
                scale=alt.Scale(
                    domain=[0, FULL_COLOUR_SHARE / 5, FULL_COLOUR_SHARE],
                    range=list(colours.shares),
                    interpolate="rgb",
                    clamp=True,
                ),
                legend=None,
            ),
            tooltip=[
                alt.Tooltip("rule:N", title="Rule"),
                alt.Tooltip("when:N", title="Hour"),
                alt.Tooltip("rows:N", title="Messages"),
                alt.Tooltip("shown:N", title="Break it"),
                alt.Tooltip("passing:N", title="Pass it"),
                alt.Tooltip("verdict:N", title="Verdict"),
            ],
        )
        .properties(height=RULE_HEIGHT * len(order) + AXIS_HEIGHT)
    )
    return chart


def _times(hours: Sequence[Row], zone: tzinfo) -> dict[str, list[int] | list[str]]:
    starts = [datetime.fromisoformat(hour["hour"]) for hour in hours]
    begin = [int(start.timestamp() * 1000) for start in starts]
    gap = HOUR_MS // 12  # a little air between hours
    return {
        "at": [ms + gap // 2 for ms in begin],
        "until": [ms + HOUR_MS - gap // 2 for ms in begin],
        "when": [moment(start, zone) for start in starts],
    }


def _hours_axis(hours: Sequence[Row], zone: tzinfo) -> alt.X:
    first, last = (int(datetime.fromisoformat(hours[place]["hour"]).timestamp() * 1000) for place in (0, -1))
    return alt.X(
        "at:T",
        scale=alt.Scale(type="utc" if zone is UTC else "time", domain=[first, last + HOUR_MS], nice=False),
        axis=alt.Axis(
            title=None,
            format="%d %b" if len(hours) > 48 else "%H:%M",
            grid=False,
            labelOverlap=True,
            tickCount=9,
        ),
    )
