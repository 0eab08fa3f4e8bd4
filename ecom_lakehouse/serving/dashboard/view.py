"""What a viewer has chosen in the sidebar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse.serving.dashboard import address
from ecom_lakehouse.serving.dashboard.address import PINNED, REFRESH_SECONDS, SEVERITIES
from ecom_lakehouse.serving.dashboard.windows import LOOKBACKS, Window, live_window, pinned_window
from ecom_lakehouse.serving.dashboard.words import metric_words, moment

ASKED_METRIC = "asked_metric"  # a widget's value can be set only before it is drawn


@dataclass(frozen=True)
class View:
    """The choices; `pinned` is a range that stays, None follows the present."""

    metric: str
    lookback: str
    refresh_seconds: float | None
    severities: tuple[str, ...]
    zone: tzinfo
    name: str
    pinned: Window | None

    def window(self, now: datetime) -> Window:
        """What the charts show at a time."""
        return self.pinned or live_window(LOOKBACKS[self.lookback], now)


def choose() -> View:
    """Draws the sidebar and gives what it says; the address of the page follows."""
    problem = address.read(st.query_params, st.session_state)
    if asked := st.session_state.pop(ASKED_METRIC, None):
        st.session_state["metric"] = asked
    pinned: Window | None = st.session_state[PINNED]
    with st.sidebar:
        view = _controls(pinned)
    st.query_params.from_dict(address.written(st.session_state).items())
    if problem:
        st.warning(problem, icon=":material/link_off:")
    if pinned:
        _pinned_note(pinned, view.zone)
    return view


def pin(metric: str, start: datetime, end: datetime) -> None:
    """Makes the page, and its address, hold a range of a metric, from the next run on."""
    st.session_state[ASKED_METRIC] = metric
    st.session_state[PINNED] = pinned_window(start, end)


def _controls(pinned: Window | None) -> View:
    st.subheader("View", anchor=False)
    metric = st.selectbox(
        "Metric", METRIC_NAMES, format_func=lambda name: metric_words(name).title, key="metric"
    )
    lookback = st.select_slider("Look back", list(LOOKBACKS), key="last", disabled=pinned is not None)
    refresh = st.select_slider("Refresh every", list(REFRESH_SECONDS), key="every")
    paused = st.toggle("Pause", key="pause", help="Hold the page as it is.")
    severities = st.pills(
        "Alerts shown",
        list(SEVERITIES),
        selection_mode="multi",
        format_func=SEVERITIES.__getitem__,
        key="severity",
    )
    clock = st.segmented_control(
        "Times in",
        ["local", "utc"],
        format_func={"local": "Local", "utc": "UTC"}.__getitem__,
        required=True,
        key="tz",
    )
    zone = UTC if clock == "utc" else _browser_zone()
    st.caption(f"Times are in {zone}.")
    name = st.text_input(
        "Your name", max_chars=100, key="name", help="Stands beside the alerts you acknowledge."
    )
    return View(
        metric=metric,
        lookback=lookback,
        refresh_seconds=None if paused or pinned else REFRESH_SECONDS[refresh],
        severities=tuple(severities),
        zone=zone,
        name=name.strip() or "dashboard",
        pinned=pinned,
    )


def _pinned_note(pinned: Window, zone: tzinfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            f"Showing {moment(pinned.start, zone)} to {moment(pinned.end, zone)}. This page stands still; its "
            "address can be shared.",
            icon=":material/push_pin:",
        )
        if st.button("Back to live", icon=":material/play_arrow:"):
            st.session_state[PINNED] = None
            st.rerun()


def _browser_zone() -> tzinfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
