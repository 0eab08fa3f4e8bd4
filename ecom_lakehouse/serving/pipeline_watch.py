"""Whether the pipeline is late: told apart from a shop without events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ecom_lakehouse.serving.alert_store import PIPELINE_RULE
from ecom_lakehouse.serving.webhook import enqueue
from ecom_lakehouse.settings import Settings

Connection = psycopg.Connection[DictRow]
METRIC = "pipeline_age_seconds"
BREAK = timedelta(seconds=90)  # nobody looked for so long: the platform was off
CRITICAL_TIMES = 3.0


def watch_pipeline(connection: Connection, settings: Settings) -> str | None:
    """Opens, raises or ends the alert that Gold lags behind; says what is the matter, None if nothing.

    The age is that of the newest complete state: what Kafka held then has all reached Gold, or there was nothing.
    After a break (the platform was off) it has as long to catch up as it may be late.
    """
    watch = _watched(connection)
    state = connection.execute(
        "select now() as now, f.*, (select min(planned_at) from lake.slices where gold_at is null) as waiting_since"
        " from serving.freshness f"
    ).fetchone()
    if state is None:
        return None
    now, since = state["now"], state["reached_gold_at"] or state["waiting_since"]
    bound = max(settings.alert_late_seconds, 2 * settings.micro_batch_seconds + 60)
    age = (now - since).total_seconds() if since else 0.0
    if since is None or age <= bound:
        _resolve(connection)
        return None
    if state["paused"] or (now - watch["watching_since"]).total_seconds() <= bound:
        return None
    why = _why(connection, state)
    said = (
        f"the pipeline is late: what is served is complete up to {since:%Y-%m-%d %H:%M} UTC; {why['reason']}"
    )
    critical = age > CRITICAL_TIMES * bound or bool(why["held"]) or bool(state["blocked"])
    _open(connection, since, now, age, bound, "critical" if critical else "warn", {**why, "reason": said})
    return said


def _watched(connection: Connection) -> DictRow:
    """Notes that somebody looks; a long break starts the watch anew."""
    row = connection.execute(
        "update serving.pipeline_watch set watched_at = now(),"
        " watching_since = case when watched_at < now() - %s then now() else watching_since end returning *",
        (BREAK,),
    ).fetchone()
    if row is None:
        row = connection.execute("insert into serving.pipeline_watch default values returning *").fetchone()
    assert row is not None  # a returning insert gives its row
    return row


def _why(connection: Connection, state: DictRow) -> dict[str, Any]:
    """What stands in the way, as far as the ledger knows."""
    first = connection.execute(
        "select slice_id, state, attempts, last_error, held_reason from lake.slices where gold_at is null"
        " order by slice_id limit 1"
    ).fetchone()
    held = connection.execute(
        "select slice_id, held_reason from lake.slices where held_reason is not null order by slice_id limit 10"
    ).fetchall()
    looked_at: datetime | None = state["looked_at"]
    if held:
        said = f"slice {held[0]['slice_id']} is held: {held[0]['held_reason']}"
    elif state["blocked"]:
        said = f"planning is blocked: {state['blocked']}"
    elif first and first["last_error"]:
        said = f"slice {first['slice_id']} failed {first['attempts']} times: {first['last_error']}"
    elif looked_at is None or datetime.now(UTC) - looked_at > BREAK:
        said = "nobody has looked at Kafka's topic since; is Dagster's daemon running?"
    else:
        said = "it works, but slower than events come" if first else "the topic cannot be caught up with"
    return {
        "reason": said,
        "held": [dict(row) for row in held],
        "blocked": state["blocked"],
        "first_unfinished_slice": dict(first) if first else None,
        "looked_at": looked_at.isoformat() if looked_at else None,
    }


def _open(
    connection: Connection,
    since: datetime,
    now: datetime,
    age: float,
    bound: float,
    severity: str,
    details: dict[str, Any],
) -> None:
    minute = since.replace(second=0, microsecond=0)
    alert_id = f"{PIPELINE_RULE}-{minute:%Y%m%dT%H%MZ}"
    before = connection.execute(  # one that is open goes on, though the pipeline may creep forward meanwhile
        "select * from serving.alerts where rule_name = %s and (state = 'open' or alert_id = %s)"
        " order by state = 'open' desc limit 1 for update",
        (PIPELINE_RULE, alert_id),
    ).fetchone()
    alert_id = before["alert_id"] if before else alert_id
    row = connection.execute(
        "insert into serving.alerts (alert_id, window_start, last_window, metric, value, baseline, score, severity,"
        " state, rule_name, details) values (%(id)s, %(first)s, %(last)s, %(metric)s, %(age)s, %(bound)s, %(score)s,"
        " %(severity)s, 'open', %(rule)s, %(details)s)"
        " on conflict (alert_id) do update set last_window = excluded.last_window, value = excluded.value,"
        " score = excluded.score, severity = excluded.severity, state = 'open', resolved_at = null,"
        " details = excluded.details, updated_at = now()"
        " where alerts.last_window <> excluded.last_window or alerts.severity <> excluded.severity"
        " or alerts.state <> 'open' returning *",
        {
            "id": alert_id,
            "first": minute,
            "last": now.replace(second=0, microsecond=0),
            "metric": METRIC,
            "age": round(age, 3),
            "bound": bound,
            "score": age / (age + bound),
            "severity": severity,
            "rule": PIPELINE_RULE,
            "details": Jsonb(details),
        },
    ).fetchone()
    if row and (before is None or before["severity"] != severity or before["state"] != "open"):
        kind = "held_slice" if details["held"] else "stuck_pipeline"
        enqueue(
            connection,
            kind,
            alert_id,
            f"{severity.upper()}: {details['reason']}",
            {"event": "opened" if before is None else "raised", "severity": severity, "alert_id": alert_id},
            key=f"{alert_id}:{severity}",
        )


def _resolve(connection: Connection) -> None:
    ended = connection.execute(
        "update serving.alerts set state = 'resolved', resolved_at = now(), updated_at = now()"
        " where rule_name = %s and state = 'open' returning alert_id",
        (PIPELINE_RULE,),
    ).fetchall()
    for row in ended:
        enqueue(
            connection,
            "stuck_pipeline",
            row["alert_id"],
            "Resolved: the pipeline has caught up",
            {"event": "resolved", "alert_id": row["alert_id"]},
            key=f"{row['alert_id']}:resolved",
        )
