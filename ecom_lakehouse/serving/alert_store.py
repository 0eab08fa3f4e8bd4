"""The alerts in Postgres: incidents written so that the same one is never two, and told to whom it may concern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ecom_lakehouse.core.detection.incidents import Incident
from ecom_lakehouse.serving.webhook import enqueue
from ecom_lakehouse.settings import Settings

Connection = psycopg.Connection[DictRow]
PIPELINE_RULE = "pipeline_late_v1"
# silence begins before the minute that makes it an alert
OPENED_AT = "coalesce((details ->> 'opened_at')::timestamptz, window_start)"
SAME_WITHIN = timedelta(minutes=15)  # a re-scored incident whose start moved so little is the same one
TOLD_WITHIN = timedelta(hours=1)  # what is longer over is stored, but nobody is called for it


@dataclass
class KnownAlerts:
    """The alerts that earlier scoring made of minutes that are scored again, to be matched with what comes of it."""

    by_id: dict[str, DictRow]
    alerts_from: datetime
    open_before: str | None  # the alert that was open when the rule or its parameters changed
    kept: set[str] = field(default_factory=set)

    def id_for(self, rule: str, minute: datetime) -> str:
        """The id of an incident: that of the nearest alert it may have been, rather of its rule; else a new one."""
        if minute < self.alerts_from and self.open_before:
            return self.open_before
        near = [
            (row["rule_name"] != rule, abs(row["window_start"] - minute), alert_id)
            for alert_id, row in self.by_id.items()
            if alert_id not in self.kept and abs(row["window_start"] - minute) <= SAME_WITHIN
        ]
        alert_id = min(near)[-1] if near else f"{rule}-{minute:%Y%m%dT%H%MZ}"
        self.kept.add(alert_id)
        return alert_id


def known_between(
    connection: Connection, start: datetime, end: datetime, alerts_from: datetime
) -> KnownAlerts:
    """The alerts on KPIs that a minute in [start, end) opened, but none before `alerts_from`, the oldest first."""
    rows = connection.execute(
        f"select * from serving.alerts where {OPENED_AT} >= %s and {OPENED_AT} < %s and rule_name <> %s"
        " order by window_start, alert_id",
        (max(start, alerts_from), end, PIPELINE_RULE),
    ).fetchall()
    before = connection.execute(
        f"select alert_id from serving.alerts where {OPENED_AT} < %s and rule_name <> %s"
        " and (state = 'open' or state = 'resolved' and last_window >= %s) order by window_start desc limit 1",
        (alerts_from, PIPELINE_RULE, alerts_from),
    ).fetchone()
    return KnownAlerts(
        {row["alert_id"]: row for row in rows}, alerts_from, before["alert_id"] if before else None
    )


def store(
    connection: Connection, settings: Settings, incidents: Sequence[Incident], known: KnownAlerts
) -> dict[str, int]:
    """Writes the incidents, retracts what earlier scoring saw and this one does not, and queues the news.

    Returns how many alerts were opened, by severity, and how many retracted.
    """
    counts: dict[str, int] = {}
    for incident in incidents:
        before = _written(connection, incident)
        if before is None:
            counts[incident.severity.value] = counts.get(incident.severity.value, 0) + 1
        for news in _news(before, incident):
            _tell(connection, settings, incident, news, before)
    for alert_id, row in known.by_id.items():
        if alert_id not in known.kept and row["state"] != "retracted":
            _retract(connection, row)
            counts["retracted"] = counts.get("retracted", 0) + 1
    return counts


def resolve_others(connection: Connection, before: datetime, still_open: str | None) -> None:
    """Ends what was opened before a minute and goes on no longer by the rule and parameters that are judged by now."""
    rows = connection.execute(
        "update serving.alerts set state = 'resolved', resolved_at = now(), updated_at = now(),"
        " details = details || %s where state = 'open' and rule_name <> %s"
        f" and {OPENED_AT} < %s and alert_id is distinct from %s returning *",
        (Jsonb({"resolved_by": "the detector was changed"}), PIPELINE_RULE, before, still_open),
    ).fetchall()
    for row in rows:
        _tell_end(connection, row, "resolved", "the detector was changed and sees it no longer")


def _written(connection: Connection, incident: Incident) -> DictRow | None:
    """Writes one incident; gives the alert as it was before, None where there was none."""
    before = connection.execute(
        "select * from serving.alerts where alert_id = %s for update", (incident.alert_id,)
    ).fetchone()
    connection.execute(
        """
        insert into serving.alerts (alert_id, window_start, last_window, metric, value, baseline, score, severity,
                                    state, rule_name, resolved_at, details)
        values (%(alert_id)s, %(window_start)s, %(last_window)s, %(metric)s, %(value)s, %(baseline)s, %(score)s,
                %(severity)s, %(state)s, %(rule_name)s, %(resolved_at)s, %(details)s)
        on conflict (alert_id) do update set
            window_start = excluded.window_start, last_window = excluded.last_window, metric = excluded.metric,
            value = excluded.value, baseline = excluded.baseline, score = excluded.score,
            severity = excluded.severity, state = excluded.state, rule_name = excluded.rule_name,
            resolved_at = excluded.resolved_at, retracted_at = null, details = excluded.details,
            updated_at = now()
        where (alerts.window_start, alerts.last_window, alerts.severity, alerts.state, alerts.value, alerts.details)
            is distinct from (excluded.window_start, excluded.last_window, excluded.severity, excluded.state,
                              excluded.value, excluded.details)
        """,
        {
            "alert_id": incident.alert_id,
            "window_start": incident.window_start,
            "last_window": incident.last_window,
            "metric": incident.metric,
            "value": incident.value,
            "baseline": incident.baseline,
            "score": incident.score,
            "severity": incident.severity.value,
            "state": "open" if incident.resolved_at is None else "resolved",
            "rule_name": incident.rule,
            "resolved_at": incident.resolved_at,
            "details": Jsonb({"reason": reason(incident), "score": incident.score, **incident.details}),
        },
    )
    return before


def _retract(connection: Connection, row: DictRow) -> None:
    connection.execute(
        "update serving.alerts set state = 'retracted', retracted_at = now(), updated_at = now()"
        " where alert_id = %s",
        (row["alert_id"],),
    )
    _tell_end(connection, row, "retracted", "late data took the reason away")


def _tell_end(connection: Connection, row: DictRow, event: str, why: str) -> None:
    """Tells that an alert ended otherwise than by ordinary minutes."""
    if row["last_window"] >= datetime.now(row["last_window"].tzinfo) - TOLD_WITHIN:
        enqueue(
            connection,
            "anomaly",
            row["alert_id"],
            f"{event.capitalize()}: {row['details'].get('reason', row['metric'])} ({why})",
            {"event": event, "alert_id": row["alert_id"], "metric": row["metric"]},
            key=f"{row['alert_id']}:{event}:{row['updated_at'].isoformat()}",
        )


def _news(before: DictRow | None, incident: Incident) -> list[tuple[str, str]]:
    """What is worth telling of an incident, against the alert as it was: the event, and a message's first words."""
    news = []
    if before is None or before["state"] == "retracted":
        news.append(("opened", incident.severity.value.upper()))
    elif before["severity"] != incident.severity.value and incident.severity.value == "critical":
        news.append(("raised", "CRITICAL now"))
    elif joined := _disasters(incident.details) - _disasters(before["details"]):
        news.append(("joined", f"CRITICAL as well now, {', '.join(sorted(joined))}"))
    if incident.resolved_at is not None and (before is None or before["state"] != "resolved"):
        news.append(("resolved", "Resolved"))
    return news


def _disasters(details: Mapping[str, Any]) -> set[str]:
    """What has been critical in an incident: metrics, and silence."""
    metrics = details.get("metrics", {})
    critical = {name for name, one in metrics.items() if one["worst"]["severity"] == "critical"}
    return critical | ({"no events"} if details.get("no_events") else set())


def _tell(
    connection: Connection,
    settings: Settings,
    incident: Incident,
    news: tuple[str, str],
    before: DictRow | None,
) -> None:
    if incident.last_window < datetime.now(incident.last_window.tzinfo) - TOLD_WITHIN:
        return
    event, title = news
    body: dict[str, Any] = {
        "event": event,
        "alert_id": incident.alert_id,
        "severity": incident.severity.value,
        "metric": incident.metric,
        "window_start": incident.window_start.isoformat(),
        "last_window": incident.last_window.isoformat(),
        "value": incident.value,
        "baseline": incident.baseline,
        "score": incident.score,
        "rule": incident.rule,
        "metrics": sorted(incident.details.get("metrics", {})),
        "link": f"{settings.dashboard_url}/?metric={incident.metric}",
    }
    enqueue(
        connection,
        "anomaly",
        incident.alert_id,
        f"{title}: {reason(incident)}, since {incident.window_start:%H:%M} UTC",
        body,
        key=f"{incident.alert_id}:{event}:{before['updated_at'].isoformat() if before else ''}",
    )


def reason(incident: Incident) -> str:
    """One line for a person: what is off, by how much, and what else with it."""
    silence = incident.details.get("no_events")
    metrics = incident.details.get("metrics", {})
    if silence:
        said = f"no events for {silence['minutes']} minutes"
    else:
        worst = metrics.get(incident.metric, {}).get("worst", {})
        expected = "" if incident.baseline is None else f" where {_plain(incident.baseline)} was expected"
        said = f"{incident.metric} is {_plain(incident.value or 0.0)}{expected}"
        if worst.get("reason"):
            said += f": {worst['reason']}"
    others = sorted(name for name in metrics if name != incident.metric)
    return said + (f"; also {', '.join(others)}" if others else "")


def _plain(number: float) -> str:
    """A number for a sentence: four digits that count, and never an exponent for what a shop counts."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
