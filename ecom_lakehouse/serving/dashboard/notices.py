"""What is the matter, and what to do: the states in which a page has less to show than it should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

import streamlit as st

from ecom_lakehouse.serving.dashboard.words import duration, moment, parsed

CATCHING_UP_AFTER = timedelta(seconds=110)  # a batch a minute, and the seconds it takes


class Trust(StrEnum):
    """How far the newest data can be trusted, in a word."""

    UP_TO_DATE = "Up to date"
    CATCHING_UP = "Catching up"
    STALE = "Stale"
    EMPTY = "No data yet"


BADGES = {
    Trust.UP_TO_DATE: ("green", ":material/check_circle:"),
    Trust.CATCHING_UP: ("orange", ":material/schedule:"),
    Trust.STALE: ("red", ":material/error:"),
    Trust.EMPTY: ("gray", ":material/hourglass_empty:"),
}


def trust(pipeline: dict[str, Any], now: datetime) -> Trust:
    """The word for an answer of `/pipeline`."""
    as_of = parsed(pipeline["data_as_of"])
    if as_of is None:
        return Trust.EMPTY
    if not pipeline["fresh"]:
        return Trust.STALE
    return Trust.UP_TO_DATE if now - as_of <= CATCHING_UP_AFTER else Trust.CATCHING_UP


def freshness_line(pipeline: dict[str, Any], zone: tzinfo) -> None:
    """ "Data as of", how fresh it is in colour and words, how much waits, and what else is wrong."""
    now = datetime.now(UTC)
    as_of, lag = parsed(pipeline["data_as_of"]), pipeline["lag"]
    word = trust(pipeline, now)
    colour, icon = BADGES[word]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="freshness"):
        st.badge(word.value, color=colour, icon=icon)  # type: ignore[arg-type]
        if as_of:
            st.markdown(f"Data as of **{moment(as_of, zone, now)}**, {duration(now - as_of)} ago")
        waiting = f"{lag['messages']:,} message{'s' if lag['messages'] != 1 else ''} on the way"
        st.markdown(waiting if lag["messages"] else "Nothing waits in Kafka")
        failing = len(pipeline["failing_checks"])
        if failing:
            st.badge(
                f"{failing} failing check{'s' if failing != 1 else ''}",
                color="orange",
                icon=":material/rule:",
            )


def pipeline_notices(pipeline: dict[str, Any], zone: tzinfo) -> None:
    """A sentence for each thing that keeps data from moving, with what to type."""
    now = datetime.now(UTC)
    if pipeline["blocked"]:
        st.error(f"Planning is blocked: {pipeline['blocked']}", icon=":material/block:")
    for held in pipeline["held"]:
        st.error(
            f"Slice {held['slice_id']} is held: {held['held_reason'] or held['last_error']} Bronze goes on, later "
            "layers wait; `make status` says more.",
            icon=":material/front_hand:",
        )
    if pipeline["paused"]:
        st.warning(
            "Planning is paused, so no new data arrives. `lakehouse resume` lets it go on.",
            icon=":material/pause_circle:",
        )
    elif trust(pipeline, now) is Trust.STALE and not pipeline["blocked"] and not pipeline["held"]:
        as_of = parsed(pipeline["data_as_of"])
        assert as_of is not None
        st.warning(
            f"The newest data is {duration(now - as_of)} old ({moment(as_of, zone)}). Look whether everything "
            "runs: `make ps`, then `make status`; `make run` starts what has stopped.",
            icon=":material/schedule:",
        )


def api_away(error: Exception, url: str, retry_seconds: float | None, *, keeps: bool) -> None:
    """The API doesn't answer; `keeps` says that older data is still on the page."""
    again = f"Trying again every {retry_seconds:g} s." if retry_seconds else "Reload the page to try again."
    kept = "Below is what was there when it last answered. " if keeps else ""
    st.error(
        f"**The API does not answer.** {kept}{again} Start it with `make run` (the whole stack) or "
        f"`lakehouse api`; it is expected at {url}.\n\n{error}",
        icon=":material/cloud_off:",
    )


def refused(error: Exception) -> None:
    """The API answered that it will not."""
    st.error(f"**The API refused the question.** {error}", icon=":material/lock:")


def no_events_yet() -> None:
    """Nothing has ever reached Gold."""
    st.info(
        "**No events yet.** `make events` sends some; the first KPIs are here within two minutes. If it runs "
        "already, `make status` says how far they have come.",
        icon=":material/hourglass_empty:",
    )


def nothing_in_range(newest: datetime | None, zone: tzinfo) -> None:
    """There is data, but none in the range shown."""
    last = f" The newest event is of {moment(newest, zone)}." if newest else ""
    st.info(
        f"**No events in this range.**{last} Look further back, or send some with `make events`.",
        icon=":material/date_range:",
    )
