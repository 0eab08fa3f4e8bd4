"""The page `Live`: how the shop does now, what was expected, and which alerts there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from ecom_lakehouse.core.kpis import SUMS
from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.serving.dashboard import charts, kpi_data, notices
from ecom_lakehouse.serving.dashboard.alert_list import alert_list
from ecom_lakehouse.serving.dashboard.charts import Look
from ecom_lakehouse.serving.dashboard.client import Api, ApiAwayError
from ecom_lakehouse.serving.dashboard.kpi_data import Expected, Row
from ecom_lakehouse.serving.dashboard.palette import palette
from ecom_lakehouse.serving.dashboard.view import View
from ecom_lakehouse.serving.dashboard.windows import Window, comparison
from ecom_lakehouse.serving.dashboard.words import change, metric_words, moment, number, parsed

TILES = ("events_total", "events_purchase", "revenue", "aov", "purchase_conversion", "add_to_cart_rate")
SMALL_COLUMNS = 3
TILE_WIDTH = 145
KEY = """<div class="key">
<span><i class="line"></i>Value</span><span><i class="dashed"></i>Not final yet</span>
<span><i class="band"></i>Expected</span>
<span><i class="warn">▲</i>Warning</span><span><i class="critical">◆</i>Critical</span></div>"""
PAGE_ROWS = 20_000


@dataclass(frozen=True)
class LiveData:
    """Everything the page shows, as the API gave it."""

    window: Window
    rows: Sequence[Row]
    before: dict[str, float]
    now: dict[str, float]
    closed_until: datetime | None
    bands: dict[str, list[Expected]]
    alerts: Sequence[Row]
    pipeline: dict[str, Any]


def page(api: Api, view: View) -> None:
    """Draws the page, and draws its data anew as often as the viewer wants."""
    st.title("Live")
    st.fragment(_body, run_every=view.refresh_seconds)(api, view)


def read(api: Api, view: View, now: datetime) -> LiveData:
    """Asks the API for all of it.

    Raises:
        ServingError: the API is away or refuses.
    """
    window = view.window(now)
    by_minute = window.step == "minute"
    question: dict[str, Any] = {"step": window.step, "limit": PAGE_ROWS}
    rows = api.pages("/kpis", from_=window.start, to=window.end, **question)
    closed_until = kpi_data.closed_until(rows, window.step_length)
    before: dict[str, float] = {}
    totals: dict[str, float] = {}
    if closed_until is not None:
        shift = comparison(window.length).shift
        metric = ",".join(SUMS)
        earlier = api.pages(
            "/kpis", metric=metric, from_=window.start - shift, to=window.end - shift, **question
        )
        totals = kpi_data.totals(rows, closed_until)
        if kpi_data.covers(earlier, rows):
            before = kpi_data.totals(earlier, closed_until - shift)
    bands = api.pages("/kpis/bands", from_=window.start, to=window.end, limit=PAGE_ROWS) if by_minute else []
    return LiveData(
        window=window,
        rows=rows,
        before=before,
        now=totals,
        closed_until=closed_until,
        bands={
            metric: kpi_data.expectations(band for band in bands if band["metric"] == metric)
            for metric in {band["metric"] for band in bands}
        },
        alerts=api.pages("/alerts", from_=window.start, to=window.end, limit=200),
        pipeline=api.get("/pipeline", limit=1),
    )


def _body(api: Api, view: View) -> None:
    try:
        data = read(api, view, datetime.now(UTC))
        st.session_state["live_data"] = data
    except ApiAwayError as error:
        kept: LiveData | None = st.session_state.get("live_data")
        notices.api_away(error, api.url, view.refresh_seconds, keeps=kept is not None)
        if kept is None:
            return
        data = kept
    except ServingError as error:
        notices.refused(error)
        return
    notices.freshness_line(data.pipeline, view.zone)
    notices.pipeline_notices(data.pipeline, view.zone)
    newest = parsed(data.pipeline["newest_minute"])
    if newest is None:
        notices.no_events_yet()
        return
    if not kpi_data.has_data(data.rows):
        notices.nothing_in_range(newest, view.zone)
    _tiles(data, view)
    alerts = [alert for alert in data.alerts if alert["severity"] in view.severities]
    # the list keeps what was retracted; on the charts it would stand for something that happened
    charted = [alert for alert in alerts if alert["state"] != "retracted"]
    _main_chart(api, data, charted, view)
    others = [name for name in (*TILES, "checkout_rate") if name != view.metric]
    with st.grid(SMALL_COLUMNS, min_column_width=280):
        for name in others[: 2 * SMALL_COLUMNS]:
            _small_chart(data, charted, name, view)
    alert_list(api, alerts, view)


def _tiles(data: LiveData, view: View) -> None:
    compared = comparison(data.window.length)
    with st.grid(len(TILES), min_column_width=TILE_WIDTH):
        for name in TILES:
            words = metric_words(name)
            st.metric(
                words.title,
                number(data.now.get(name), words.form),
                change(data.now.get(name), data.before.get(name)),
                border=True,
            )
    if data.closed_until:
        now = datetime.now(UTC)
        start, end = (moment(at, view.zone, now) for at in (data.window.start, data.closed_until))
        against = compared.name if data.before else "there is nothing to compare with yet"
        st.caption(f"Totals from {start} to {end}, as far as they are final; change: {against}.")


def _chart(data: LiveData, alerts: Sequence[Row], metric: str, view: View, *, small: bool) -> dict[str, Any]:
    words, values, bands = (
        metric_words(metric),
        kpi_data.points(data.rows, metric),
        data.bands.get(metric, []),
    )
    tops = st.session_state.setdefault("axis_tops", {})
    key = (metric, view.lookback, view.pinned)
    tops[key] = kpi_data.axis_top(kpi_data.needed_top(values, bands), tops.get(key))
    look = Look(palette(st.context.theme.type), view.zone, tops[key], small)
    concerned = [alert for alert in alerts if alert["metric"] == metric]
    spec = charts.metric_spec(words, data.window, look)
    return charts.with_data(spec, charts.metric_data(words, values, bands, concerned, data.window, view.zone))


def _main_chart(api: Api, data: LiveData, alerts: Sequence[Row], view: View) -> None:
    words = metric_words(view.metric)
    with st.container(border=True, key="main-chart"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(f"{words.title} per {data.window.step}", anchor=False, width="stretch")
            _downloads(api, data, alerts, view)
        st.html(KEY)
        st.vega_lite_chart(
            _chart(data, alerts, view.metric, view, small=False),
            key="main",
            alt=f"{words.title} per {data.window.step}, with the expected band and alerts",
        )
        st.caption(_in_words(data, alerts, view))


def _small_chart(data: LiveData, alerts: Sequence[Row], metric: str, view: View) -> None:
    words = metric_words(metric)
    with st.container(border=True):
        st.markdown(f"**{words.title}**")
        st.vega_lite_chart(
            _chart(data, alerts, metric, view, small=True),
            key=f"small-{metric}",
            alt=f"{words.title} per {data.window.step}, small",
        )


def _in_words(data: LiveData, alerts: Sequence[Row], view: View) -> str:
    """What the main chart shows, for those who don't see it or want the number."""
    words = metric_words(view.metric)
    values = [point for point in kpi_data.points(data.rows, view.metric) if point.value is not None]
    final = [point for point in values if not point.provisional]
    if not final:
        return "No final value in this range yet."
    newest = final[-1]
    when = moment(newest.at, view.zone, datetime.now(UTC))
    text = f"Newest final value: {number(newest.value, words.form)} at {when}."
    band = next((one for one in reversed(data.bands.get(view.metric, [])) if one.at == newest.at), None)
    if band:
        low, high = number(max(band.lower, 0), words.form), number(band.upper, words.form)
        text += f" Expected: {low} to {high}."
    concerned = sum(alert["metric"] == view.metric for alert in alerts)
    text += f" {concerned or 'No'} alert{'' if concerned == 1 else 's'} on it in this range."
    if len(values) > len(final):
        text += " Dashed: not final yet, some messages are still on their way."
    return text


def _downloads(api: Api, data: LiveData, alerts: Sequence[Row], view: View) -> None:
    window, name = data.window, f"{view.metric}-{data.window.start:%Y%m%dT%H%M}Z"

    def csv() -> bytes:
        return api.csv(
            "/kpis", metric=view.metric, from_=window.start, to=window.end, step=window.step, limit=PAGE_ROWS
        )

    def png() -> bytes:
        words, values = metric_words(view.metric), kpi_data.points(data.rows, view.metric)
        bands = data.bands.get(view.metric, [])
        top = kpi_data.axis_top(kpi_data.needed_top(values, bands), None)
        concerned = [alert for alert in alerts if alert["metric"] == view.metric]
        return charts.png(
            words, window, top, charts.metric_data(words, values, bands, concerned, window, UTC)
        )

    st.download_button("CSV", csv, f"{name}.csv", "text/csv", icon=":material/table:", on_click="ignore")
    st.download_button(
        "PNG",
        png,
        f"{name}.png",
        "image/png",
        icon=":material/image:",
        on_click="ignore",
        help="Times in UTC",
    )
