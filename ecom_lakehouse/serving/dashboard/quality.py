"""The page `Quality`: which share of the messages passes, which rules are broken, by what, and what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.serving.dashboard import kpi_data, notices
from ecom_lakehouse.serving.dashboard.client import Api, ApiAwayError
from ecom_lakehouse.serving.dashboard.kpi_data import Row
from ecom_lakehouse.serving.dashboard.palette import palette
from ecom_lakehouse.serving.dashboard.quality_charts import FULL_COLOUR_SHARE, broken_chart, rules_chart
from ecom_lakehouse.serving.dashboard.view import View
from ecom_lakehouse.serving.dashboard.words import Form, moment, number

LEAST_HOURS = timedelta(hours=24)
MOST_HOURS = timedelta(days=7)
SAMPLES = 50
TILE_WIDTH = 165
LEAST_TOP = 0.01
VERDICTS = {
    "error": ":material/error: Fails",
    "warn": ":material/warning: Warns",
    "pass": ":material/check: Within bounds",
    "no_data": "No data",
}
WORST_FIRST = ("error", "warn", "pass", "no_data")


def page(api: Api, view: View) -> None:
    """Draws the page, and draws its data anew as often as the viewer wants."""
    st.title("Quality")
    st.fragment(_body, run_every=view.refresh_seconds)(api, view)


def _body(api: Api, view: View) -> None:
    now = datetime.now(UTC)
    start, end = _range(view, now)
    try:
        quality = api.get("/quality", from_=start, to=end)
        status = api.get("/pipeline", limit=1)
        st.session_state["quality_data"] = quality, status
    except ApiAwayError as error:
        kept = st.session_state.get("quality_data")
        notices.api_away(error, api.url, view.refresh_seconds, keeps=kept is not None)
        if kept is None:
            return
        quality, status = kept
    except ServingError as error:
        notices.refused(error)
        return
    notices.freshness_line(status, view.zone)
    hours = [hour for hour in quality["hours"] if hour["has_data"]]
    if not hours:
        notices.nothing_in_range(None, view.zone)
        return
    _tiles(hours)
    colours = palette(st.context.theme.type)
    highest = max(1 - hour["share_passing"] for hour in hours if hour["share_passing"] is not None)
    top = kpi_data.axis_top(max(highest, LEAST_TOP), st.session_state.get("broken_top"))
    st.session_state["broken_top"] = top
    with st.container(border=True):
        st.subheader("Messages that break a rule, by hour", anchor=False)
        st.altair_chart(
            broken_chart(quality["hours"], view.zone, colours, min(top, 1.0)),
            key="broken",
            alt="Bars: the share of each hour's messages that break a rule. The list below has the rules.",
        )
    broken = [rule for rule in quality["rules"] if rule["rows"]]
    if not broken:
        st.success("No message broke a rule in this range.", icon=":material/check_circle:")
        return
    with st.container(border=True):
        st.subheader("Broken rules, by hour", anchor=False)
        st.altair_chart(
            rules_chart(quality["hours"], broken, view.zone, colours),
            key="rules",
            alt="A grid of rules and hours, the stronger the larger the share of messages that broke the rule.",
        )
        st.caption(
            f"The stronger the colour, the more of the hour's messages broke the rule; full at "
            f"{number(FULL_COLOUR_SHARE, Form.SHARE)}."
        )
    _rules(quality, broken)
    _samples(api, quality, broken, view)


def _range(view: View, now: datetime) -> tuple[datetime, datetime]:
    """Whole hours: the view's range, a day at least and a week at most."""
    window = view.window(now)
    length = min(max(window.length, LEAST_HOURS), MOST_HOURS)
    last = window.end.replace(minute=0, second=0, microsecond=0)
    end = last if last == window.end else last + timedelta(hours=1)
    return end - length, end


def _tiles(hours: list[Row]) -> None:
    sums = {
        name: sum(hour[name] for hour in hours)
        for name in ("messages", "silver_rows", "quarantine_rows", "duplicate_rows", "late_rows")
    }
    judged = sums["messages"]

    def share(name: str) -> str:
        return number(sums[name] / judged, Form.SHARE) if judged else ""

    tiles = (
        ("Messages", "messages", "all", "Everything that Bronze took in."),
        ("Valid, in Silver", "silver_rows", share("silver_rows"), "Without a broken rule, each once."),
        ("In Quarantine", "quarantine_rows", share("quarantine_rows"), "At least one rule broken."),
        (
            "Duplicates",
            "duplicate_rows",
            share("duplicate_rows"),
            "Sent again; counted, kept in Bronze only.",
        ),
        (
            "Late",
            "late_rows",
            share("late_rows"),
            "Arrived long after they happened; they count all the same.",
        ),
    )
    with st.grid(len(tiles), min_column_width=TILE_WIDTH):
        for title, name, note, meaning in tiles:
            shown = number(sums[name], Form.COUNT)
            st.metric(
                title, shown, note or None, delta_color="off", delta_arrow="off", help=meaning, border=True
            )


def _rules(quality: dict[str, Any], broken: list[Row]) -> None:
    """The broken rules, the worst first, each with its verdict in the newest hour it was broken in."""
    verdicts: dict[str, str] = {}
    for hour in quality["hours"]:
        verdicts.update({rule["code"]: rule["verdict"] for rule in hour["rules"]})
    ordered = sorted(broken, key=lambda rule: (WORST_FIRST.index(verdicts[rule["code"]]), -rule["rows"]))
    st.subheader("The worst rules", anchor="rules")
    for rule in ordered:
        share = number(rule["share"], Form.SHARE)
        label = (
            f"{VERDICTS[verdicts[rule['code']]]} · **{rule['code']}** · {rule['rows']:,} messages, {share}"
        )
        with st.expander(label, key=f"rule-{rule['code']}"):
            st.markdown(rule["meaning"])
            if rule["warn_above"] is not None or rule["error_above"] is not None:
                st.caption(
                    f"Warns above {number(rule['warn_above'], Form.SHARE)}, fails above "
                    f"{number(rule['error_above'], Form.SHARE)} of an hour's messages."
                )
            st.markdown(f"**What to do:** {rule['what_to_do']}")


def _samples(api: Api, quality: dict[str, Any], broken: list[Row], view: View) -> None:
    st.subheader("Samples", anchor="samples")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        rule = st.selectbox(
            "Rule", [one["code"] for one in sorted(broken, key=lambda one: -one["rows"])], key="sample_rule"
        )
        hours = [
            hour["hour"]
            for hour in reversed(quality["hours"])
            if any(one["code"] == rule for one in hour["rules"])
        ]
        hour = st.selectbox(
            "Hour",
            hours,
            format_func=lambda text: moment(datetime.fromisoformat(text), view.zone),
            key="sample_hour",
        )
    try:
        answer = api.get("/quality/samples", rule=rule, hour=hour, limit=SAMPLES)
    except ServingError as error:
        st.error(str(error), icon=":material/cloud_off:")
        return
    samples = answer["data"]
    st.caption(f"{len(samples)} of {answer['rows']:,} messages that broke {rule} in that hour.")
    if not samples:
        return
    table = pd.DataFrame(
        {
            "Partition": [sample["kafka_partition"] for sample in samples],
            "Offset": [sample["kafka_offset"] for sample in samples],
            "Key": [sample["kafka_key"] for sample in samples],
            "Source": [sample["source"] for sample in samples],
            "Broken rules": [", ".join(sample["validation_errors"]) for sample in samples],
            "Message": [sample["raw_json"] or f"(not UTF-8) {sample['raw_base64']}" for sample in samples],
        }
    )
    chosen = st.dataframe(
        table,
        hide_index=True,
        height=300,
        key="samples",
        on_select="rerun",
        selection_mode="single-row",
        alt=f"Messages that broke {rule}, with their Kafka partition, offset and key.",
    )
    rows = chosen.selection.rows if chosen else []
    place = rows[0] if rows and rows[0] < len(samples) else 0
    sample = samples[place]
    with st.container(border=True):
        st.markdown(
            f"**{sample['kafka_topic']}, partition {sample['kafka_partition']}, offset {sample['kafka_offset']}** · "
            f"{moment(datetime.fromisoformat(sample['kafka_timestamp']), view.zone)} · slice {sample['slice_id']}"
        )
        st.code(_readable(sample), language="json", wrap_lines=True)
        if sample["truncated"]:
            st.caption("Shortened; `lakehouse quarantine` shows the whole of it.")
    st.download_button(
        "Samples as JSON lines",
        "\n".join(json.dumps(sample) for sample in samples),
        f"{rule}.jsonl",
        "application/jsonl",
        icon=":material/download:",
        on_click="ignore",
    )


def _readable(sample: Row) -> str:
    """The message indented where it is JSON, as it came where it isn't."""
    raw = sample["raw_json"]
    if raw is None:
        return str(sample["raw_base64"])
    try:
        return json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except ValueError:
        return str(raw)
