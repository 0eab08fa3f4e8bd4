"""The page `Pipeline`: how far data has come, how long it takes, what fails, and where to look in Dagster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.serving.dashboard import notices
from ecom_lakehouse.serving.dashboard.client import Api, ApiAwayError
from ecom_lakehouse.serving.dashboard.kpi_data import Row
from ecom_lakehouse.serving.dashboard.palette import palette
from ecom_lakehouse.serving.dashboard.pipeline_charts import seconds_chart
from ecom_lakehouse.serving.dashboard.view import View
from ecom_lakehouse.serving.dashboard.words import (
    NO_DATA,
    duration,
    moment,
    parsed,
    size,
)

SLICES = 60
LISTED = 20
TILE_WIDTH = 150
ASSETS = ("bronze_events", "silver_events", "quarantine_events", "kpi_minute", "alerts")
ROWS = ("bronze", "silver", "quarantine", "duplicate", "late")
STATE_WORDS = {
    "planned": "Planned",
    "bronze": "In Bronze",
    "silver": "In Silver",
    "done": "Done",
    "held": "Held",
    "rebuilding": "Rebuilding",
}


def page(api: Api, view: View) -> None:
    """Draws the page, and draws its data anew as often as the viewer wants."""
    st.title("Pipeline")
    st.fragment(_body, run_every=view.refresh_seconds)(api, view)


def _body(api: Api, view: View) -> None:
    try:
        status = api.get("/pipeline", limit=SLICES)
        st.session_state["pipeline_data"] = status
    except ApiAwayError as error:
        kept: dict[str, Any] | None = st.session_state.get("pipeline_data")
        notices.api_away(error, api.url, view.refresh_seconds, keeps=kept is not None)
        if kept is None:
            return
        status = kept
    except ServingError as error:
        notices.refused(error)
        return
    notices.freshness_line(status, view.zone)
    notices.pipeline_notices(status, view.zone)
    _tiles(status, view)
    _dagster_links(status["dagster_url"])
    _checks(status["failing_checks"], view)
    if not status["slices"]:
        notices.no_events_yet()
        return
    with st.container(border=True):
        st.subheader("Seconds in each layer, by slice", anchor=False)
        st.altair_chart(
            seconds_chart(status["slices"], view.zone, palette(st.context.theme.type)),
            key="seconds",
            alt="Stacked bars: seconds in Bronze, Silver and Gold for each slice. The table below has them.",
        )
    _slices(status["slices"][:LISTED], view)
    _partitions(status["lag"]["partitions"])


def _tiles(status: dict[str, Any], view: View) -> None:
    now = datetime.now(UTC)
    lag, states = status["lag"], status["slices_by_state"]
    newest = parsed(status["newest_minute"])
    unfinished = sum(count for state, count in states.items() if state != "done")
    reached = [_seconds_to_gold(one) for one in status["slices"] if one["gold_at"]]
    typical = sorted(reached)[len(reached) // 2] if reached else None
    tiles = (
        ("On the way", f"{lag['messages']:,}", "Messages that Kafka holds and Gold does not."),
        (
            "Data age",
            duration(now - as_of) if (as_of := parsed(status["data_as_of"])) else NO_DATA,
            "All that Kafka held that long ago is counted.",
        ),
        ("Newest minute", moment(newest, view.zone, now), "The newest minute that has KPIs."),
        ("Slices in work", f"{unfinished:,}", "Planned, and not in Gold yet."),
        (
            "Plan to Gold",
            f"{typical:,.1f} s" if typical is not None else NO_DATA,
            f"Median of the newest {len(reached)} slices.",
        ),
        ("Lost in Kafka", f"{status['lost_messages']:,}", "Dropped by Kafka before they were read."),
    )
    with st.grid(len(tiles), min_column_width=TILE_WIDTH):
        for title, value, meaning in tiles:
            st.metric(title, value, help=meaning, border=True)


def _dagster_links(url: str) -> None:
    with st.container(horizontal=True, gap="small"):
        st.link_button("Asset graph", f"{url}/asset-groups", icon=":material/account_tree:")
        for asset in ASSETS:
            st.link_button(asset, f"{url}/assets/{asset}", type="tertiary")
        st.link_button("Runs", f"{url}/runs", type="tertiary", icon=":material/list:")


def _checks(failing: list[Row], view: View) -> None:
    st.subheader("Failing checks", anchor="checks")
    if not failing:
        st.caption(":material/check: All checks of the last 24 hours pass.")
        return
    frame = pd.DataFrame(
        {
            "Severity": ["Error" if check["severity"] == "error" else "Warning" for check in failing],
            "Check": [check["check_name"] for check in failing],
            "Asset": [check["asset"] for check in failing],
            "Hour": [moment(parsed(check["planned_hour"]), view.zone) for check in failing],
            "Dagster": [check["url"] for check in failing],
            "Holds data": ["yes" if check["blocking"] else "no" for check in failing],
            "What it says": [check["description"] for check in failing],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="failing-checks",
        column_config={"Dagster": st.column_config.LinkColumn(display_text="open")},
        alt="Failing checks with severity, asset, hour and what they say.",
    )


def _slices(slices: list[Row], view: View) -> None:
    st.subheader("Newest slices", anchor="slices")
    now = datetime.now(UTC)
    frame = pd.DataFrame(
        {
            "Slice": [one["slice_id"] for one in slices],
            "State": [STATE_WORDS.get(one["state"], one["state"]) for one in slices],
            "Planned": [moment(parsed(one["planned_at"]), view.zone, now) for one in slices],
            "To Gold": [f"{_seconds_to_gold(one):,.1f} s" if one["gold_at"] else NO_DATA for one in slices],
            **{
                name.capitalize(): pd.array([one["rows"][name] for one in slices], dtype="Int64")
                for name in ROWS
            },
            "Size": [size(one["bronze_bytes"]) for one in slices],
            "Tries": [one["attempts"] for one in slices],
            "Note": [one["held_reason"] or one["last_error"] or "" for one in slices],
            "Run": [one["run_url"] for one in slices],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="slices",
        column_config={
            "Run": st.column_config.LinkColumn(display_text="open"),
            **{name.capitalize(): st.column_config.NumberColumn(format="localized") for name in ROWS},
        },
        alt="The newest slices with their state, rows in each layer, and their run in Dagster.",
    )


def _partitions(partitions: list[Row]) -> None:
    st.subheader("Kafka", anchor="kafka")
    frame = pd.DataFrame(
        {
            "Partition": [one["kafka_partition"] for one in partitions],
            "Earliest offset": [one["earliest_offset"] for one in partitions],
            "End": [one["end_offset"] for one in partitions],
            "Read up to": [one["position"] for one in partitions],
            "Waiting": [one["waiting"] for one in partitions],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="partitions",
        alt="Kafka's partitions with offsets and what waits in each.",
    )


def _seconds_to_gold(one: Row) -> float:
    planned, gold = parsed(one["planned_at"]), parsed(one["gold_at"])
    assert planned is not None
    assert gold is not None
    return (gold - planned).total_seconds()
