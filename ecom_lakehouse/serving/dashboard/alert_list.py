"""The list of alerts: what, since when, why, in which state, and who has taken it on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.serving.dashboard.client import Api
from ecom_lakehouse.serving.dashboard.kpi_data import Row, alert_times
from ecom_lakehouse.serving.dashboard.view import View, pin
from ecom_lakehouse.serving.dashboard.words import duration, metric_words, moment, number, parsed

SEVERITY_BADGES = {
    "critical": ("Critical", "red", ":material/error:"),
    "warn": ("Warning", "orange", ":material/warning:"),
}
STATE_BADGES = {
    "open": ("Open", "blue", ":material/radio_button_checked:"),
    "resolved": ("Resolved", "green", ":material/check:"),
    "retracted": ("Retracted", "gray", ":material/undo:"),
}
AROUND = timedelta(hours=1)
MOST_SHOWN = 20


def alert_list(api: Api, alerts: Sequence[Row], view: View) -> None:
    """The alerts of the range, the newest first, each with a button to acknowledge it."""
    st.subheader("Alerts", anchor="alerts")
    if not view.severities:
        st.caption("No severity is chosen under “Alerts shown”, so none is listed.")
        return
    if not alerts:
        st.caption("No alerts in this range.")
        return
    for alert in alerts[:MOST_SHOWN]:
        _alert(api, alert, view)
    if len(alerts) > MOST_SHOWN:
        st.caption(
            f"The newest {MOST_SHOWN} of {len(alerts)}; `make alerts-sample` and `/alerts` have them all."
        )


def _alert(api: Api, alert: Row, view: View) -> None:
    start, end = alert_times(alert)
    words = metric_words(alert["metric"])
    now = datetime.now(UTC)
    with st.container(border=True, key=f"alert-{alert['alert_id']}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for text, colour, icon in (SEVERITY_BADGES[alert["severity"]], STATE_BADGES[alert["state"]]):
                st.badge(text, color=colour, icon=icon)  # type: ignore[arg-type]
            st.markdown(f"**{words.title}** · {moment(start, view.zone, now)} for {duration(end - start)}")
        st.markdown(alert["reason"])
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(
                f"{number(alert['value'], words.form)} where {number(alert['baseline'], words.form)} was expected · "
                f"rule {alert['rule_name']}",
                width="stretch",
            )
            if st.button("Show", key=f"show-{alert['alert_id']}", icon=":material/zoom_in:", type="tertiary"):
                pin(alert["metric"], start - AROUND, min(end + AROUND, now))
                st.rerun()
            _acknowledgement(api, alert, view)


def _acknowledgement(api: Api, alert: Row, view: View) -> None:
    if alert["acknowledged_at"]:
        at = moment(parsed(alert["acknowledged_at"]), view.zone, datetime.now(UTC))
        st.markdown(f":material/done_all: Acknowledged by {alert['acknowledged_by']} at {at}")
        return
    if alert["state"] == "retracted":
        return
    if st.button("Acknowledge", key=f"acknowledge-{alert['alert_id']}", icon=":material/done:"):
        try:
            api.acknowledge(alert["alert_id"], view.name)
        except ServingError as error:
            st.error(str(error))
            return
        st.toast(f"Acknowledged as {view.name}.", icon=":material/done_all:")
        st.rerun(scope="fragment")
