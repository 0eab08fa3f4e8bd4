"""The chart of a metric: its values, what was expected, alerts, and what is not final yet.

A chart is a specification and its datasets, apart: a refresh changes datasets only, so that the browser updates
the marks in place and nothing flickers. The specification without its axes' ranges is made once and kept, as
Altair takes long to make one; when an axis moves, its range alone is put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import altair as alt
import pyarrow as pa
import vl_convert

from ecom_lakehouse.serving.dashboard.kpi_data import Expected, Point, Row, alert_times
from ecom_lakehouse.serving.dashboard.palette import LIGHT, Palette
from ecom_lakehouse.serving.dashboard.windows import DAY, EPOCH, Window
from ecom_lakehouse.serving.dashboard.words import Form, MetricWords, duration, moment, number

EUROS = {"number": {"currency": ["€", ""], "decimal": ".", "thousands": ",", "grouping": [3]}}
MAIN_HEIGHT, SMALL_HEIGHT = 300, 120
PNG_WIDTH = 1100
SEVERITY_SHAPES = {"warn": "triangle-up", "critical": "diamond"}
LINE = 1.6
TIME_RANGE, VALUE_RANGE = "range of the time axis", "range of the value axis"

POINTS = pa.schema(
    [
        ("at", pa.int64()),
        ("value", pa.float64()),
        ("when", pa.string()),
        ("shown", pa.string()),
        ("state", pa.string()),
    ]
)
BAND = pa.schema([("at", pa.int64()), ("lower", pa.float64()), ("upper", pa.float64())])
ALERTS = pa.schema(
    [("at", pa.int64()), ("until", pa.int64()), ("value", pa.float64()), ("severity", pa.string())]
    + [(name, pa.string()) for name in ("title", "state", "when", "reason")]
)
Datasets = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Look:
    """How a chart is drawn: its colours, the zone of its clock, the top of its axis, its size."""

    colours: Palette
    zone: tzinfo
    top: float
    small: bool = False


def metric_spec(words: MetricWords, window: Window, look: Look) -> dict[str, Any]:
    """The chart of a metric over a window in Vega-Lite, without its data."""
    long = window.axis_end - window.axis_start > DAY
    template = _template(
        _number_format(words.form, look.top),
        words.form is Form.COUNT,
        "%d %b" if long else "%H:%M",
        "utc" if look.zone is UTC else "time",  # an axis in UTC, or in the zone of the browser
        look.colours,
        look.small,
    )
    ranges: dict[str, list[float]] = {
        TIME_RANGE: [_ms(window.axis_start), _ms(window.axis_end)],
        VALUE_RANGE: [0, look.top],
    }
    spec: dict[str, Any] = _with_ranges(template, ranges)
    return spec


def metric_data(
    words: MetricWords,
    values: Sequence[Point],
    bands: Sequence[Expected],
    alerts: Sequence[Row],
    window: Window,
    zone: tzinfo,
) -> Datasets:
    """The data of such a chart, by the names that its specification knows."""
    first_open = next((place for place, point in enumerate(values) if point.provisional), len(values))
    # the open end is led in by the last closed point, so that no hole gapes between the two lines
    open_end = values[max(first_open - 1, 0) :] if first_open < len(values) else []
    return {
        "closed": _points(values[:first_open], words, zone),
        "open": _points(open_end, words, zone),
        "points": _points(values, words, zone),
        "band": _table(
            BAND, [{"at": _ms(one.at), "lower": max(one.lower, 0.0), "upper": one.upper} for one in bands]
        ),
        "alerts": _alerts(alerts, values, window, zone),
    }


def with_data(spec: Mapping[str, Any], datasets: Datasets) -> dict[str, Any]:
    """The two together, as Streamlit draws them."""
    return {**spec, "datasets": dict(datasets)}


def png(words: MetricWords, window: Window, top: float, datasets: Datasets) -> bytes:
    """The chart as a picture on white, its times in UTC whoever asks."""
    spec = metric_spec(words, window, Look(LIGHT, UTC, top))
    drawn = {
        **spec,
        "width": PNG_WIDTH,
        "background": "white",
        "padding": 16,
        "title": {"text": f"{words.title} per {window.step}, times in UTC", "anchor": "start", "offset": 12},
        "datasets": {name: table.to_pylist() for name, table in datasets.items()},
    }
    return bytes(vl_convert.vegalite_to_png(drawn, scale=2))


def _with_ranges(node: Any, ranges: Mapping[str, list[float]]) -> Any:
    """A copy of a specification with the axes' ranges in the places that are kept for them."""
    if isinstance(node, dict):
        return {name: _with_ranges(child, ranges) for name, child in node.items()}
    if isinstance(node, list):
        if len(node) == 1 and node[0] in (TIME_RANGE, VALUE_RANGE):
            return ranges[node[0]]
        return [_with_ranges(child, ranges) for child in node]
    return node


@lru_cache(maxsize=256)
def _template(
    number_format: str,
    whole_numbers: bool,
    time_format: str,
    scale_type: Any,
    colours: Palette,
    small: bool,
) -> dict[str, Any]:
    x = alt.X(
        "at:T",
        scale=alt.Scale(type=scale_type, domain=[TIME_RANGE], nice=False),
        axis=alt.Axis(
            title=None,
            format=time_format,
            tickCount=4 if small else 9,
            grid=False,
            labelOverlap=True,
            labelFlush=False,
            domainColor=colours.grid,
            tickColor=colours.grid,
        ),
    )
    y_scale = alt.Scale(domain=[VALUE_RANGE], nice=False, clamp=True)
    y_axis = alt.Axis(
        title=None,
        format=number_format,
        tickMinStep=1 if whole_numbers else alt.Undefined,
        # d3 writes nought in the unit of the other ticks: "0k"
        labelExpr="datum.value === 0 ? '0' : datum.label",
        tickCount=3 if small else 5,
        gridColor=colours.grid,
        domain=False,
        ticks=False,
        minExtent=40,
        labelPadding=6,
    )
    y = alt.Y("value:Q", scale=y_scale, axis=y_axis)
    severity = alt.Color(
        "severity:N",
        scale=alt.Scale(domain=list(SEVERITY_SHAPES), range=[colours.warn, colours.critical]),
        legend=None,
    )
    shape = alt.Shape(
        "severity:N",
        scale=alt.Scale(domain=list(SEVERITY_SHAPES), range=list(SEVERITY_SHAPES.values())),
        legend=None,
    )
    hover = alt.selection_point(
        name="hover", on="pointermove", clear="pointerout", nearest=True, encodings=["x"], empty=False
    )
    tooltip = [
        alt.Tooltip("when:N", title="Time"),
        alt.Tooltip("shown:N", title="Value"),
        alt.Tooltip("state:N", title="State"),
    ]
    alert_tooltip = [
        alt.Tooltip("title:N", title="Alert"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("when:N", title="Since"),
        alt.Tooltip("reason:N", title="Reason"),
    ]
    layers = [
        _named("band")
        .mark_area(color=colours.band, opacity=0.6, clip=True)
        .encode(x, alt.Y("lower:Q", scale=y_scale), alt.Y2("upper:Q")),
        _named("alerts").mark_rect(opacity=0.14, clip=True).encode(x, alt.X2("until:T"), color=severity),
        _named("closed").mark_line(color=colours.accent, strokeWidth=LINE, clip=True).encode(x, y),
        _named("open")
        .mark_line(color=colours.muted, strokeWidth=LINE, strokeDash=[3, 3], clip=True)
        .encode(x, y),
        _named("alerts")
        .mark_point(filled=True, size=60 if small else 110, opacity=1.0, stroke="white", strokeWidth=0.8)
        .encode(
            x,
            alt.Y("value:Q", scale=y_scale),
            color=severity,
            shape=shape,
            tooltip=alert_tooltip,
        ),
        _named("points")
        .mark_point(filled=True, size=45, color=colours.accent)
        .encode(x, y, opacity=alt.condition(hover, alt.value(1.0), alt.value(0.0)), tooltip=tooltip)
        .add_params(hover),
    ]
    chart = alt.layer(*layers).properties(height=SMALL_HEIGHT if small else MAIN_HEIGHT)
    spec: dict[str, Any] = chart.configure(locale=EUROS, view=alt.ViewConfig(stroke=None)).to_dict(
        validate=False
    )
    return spec


def _named(dataset: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(dataset))


def _number_format(form: Form, top: float) -> str:
    """How the value axis writes its numbers, in d3's language."""
    if form is Form.SHARE:
        return ".0%" if top >= 0.05 else ".1%"
    money = "$" if form is Form.MONEY else ""
    if top >= 100_000:
        return f"{money}~s"
    return f"{money},.2f" if form is Form.MONEY and top < 10 else f"{money},.0f"


def _points(values: Sequence[Point], words: MetricWords, zone: tzinfo) -> pa.Table:
    return _table(
        POINTS,
        [
            {
                "at": _ms(point.at),
                "value": point.value,
                "when": moment(point.at, zone),
                "shown": number(point.value, words.form),
                "state": "not final yet" if point.provisional else "final",
            }
            for point in values
        ],
    )


def _alerts(alerts: Sequence[Row], values: Sequence[Point], window: Window, zone: tzinfo) -> pa.Table:
    """Alerts at the height of the line where they begin, so that a mark never hangs in the air."""
    known = {point.at: point.value for point in values}
    rows = []
    for alert in alerts:
        start, end = alert_times(alert)
        at = EPOCH + (start - EPOCH) // window.step_length * window.step_length
        rows.append(
            {
                "at": _ms(start),
                "until": _ms(end),
                "value": known.get(at) or 0.0,
                "severity": alert["severity"],
                "title": "Critical" if alert["severity"] == "critical" else "Warning",
                "state": alert["state"],
                "when": f"{moment(start, zone)}, {duration(end - start)}",
                "reason": alert["reason"],
            }
        )
    return _table(ALERTS, rows)


def _table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
