"""What the detector keeps in Postgres: how far it is, what it knew, what it scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ecom_lakehouse.core.detection import State, Verdict
from ecom_lakehouse.core.detection.incidents import EVENTS

Connection = psycopg.Connection[DictRow]
LOCK = "lakehouse detector"
SCORES_KEPT = timedelta(days=35)
DENSE = 30  # minutes with events within an hour: a shop at work, not stray events
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Position:
    """Up to where a rule has scored: every closed minute before `next_minute`, once, in order."""

    first_minute: datetime
    next_minute: datetime
    alerts_from: datetime
    updated_at: datetime


@dataclass(frozen=True)
class ScoredMinute:
    """A verdict on one minute of one metric, with the support under it."""

    metric: str
    minute: datetime
    support: float | None
    verdict: Verdict


def take_lock(connection: Connection) -> bool:
    """Takes the right to score until the transaction ends; False when somebody else has it."""
    row = connection.execute("select pg_try_advisory_xact_lock(hashtext(%s)) as taken", (LOCK,)).fetchone()
    return bool(row and row["taken"])


def position(connection: Connection, rule: str, parameters: Mapping[str, Any]) -> Position | None:
    """How far the rule is; None when it starts anew: never run, or run with other parameters or metrics."""
    row = connection.execute(
        "select * from serving.detector_position where rule_name = %s", (rule,)
    ).fetchone()
    if row is None or row["parameters"] != dict(parameters):
        return None
    return Position(row["first_minute"], row["next_minute"], row["alerts_from"], row["updated_at"])


def start_anew(
    connection: Connection,
    rule: str,
    parameters: Mapping[str, Any],
    closed_before: datetime,
    history: timedelta,
    judge_again: bool = False,
) -> Position | None:
    """Begins with the first dense hour within the history, else after the last long gap; None while there is none.

    So a stray old event is no beginning: weeks without events would be learned after it.

    What another rule, or this one with other parameters, has already judged only teaches: no second alert of it;
    with `judge_again` all of it is judged again, and its alerts with it.
    """
    row = connection.execute(
        """
        with minutes as (
            select window_start,
                   window_start - lag(window_start) over (order by window_start) as gap,
                   count(*) over (order by window_start range between current row and '59 minutes' following) as near
            from serving.kpi_minute where metric = %s and value > 0 and window_start >= %s
        )
        select coalesce(min(window_start) filter (where near >= %s),
                        max(window_start) filter (where gap > '1 hour'), min(window_start)) as oldest,
               (select max(next_minute) from serving.detector_position) as judged_before
        from minutes
        """,
        (EVENTS, closed_before - history, DENSE),
    ).fetchone()
    if row is None or row["oldest"] is None:
        return None
    connection.execute("delete from serving.detector_position")
    alerts_from = row["judged_before"] if row["judged_before"] and not judge_again else row["oldest"]
    made = Position(row["oldest"], row["oldest"], alerts_from, datetime.now(UTC))
    connection.execute(
        "insert into serving.detector_position (rule_name, first_minute, next_minute, alerts_from, parameters)"
        " values (%s, %s, %s, %s, %s)",
        (rule, made.first_minute, made.next_minute, made.alerts_from, Jsonb(dict(parameters))),
    )
    return made


def move_on(connection: Connection, rule: str, next_minute: datetime) -> None:
    """Notes that every minute before this one is scored."""
    connection.execute(
        "update serving.detector_position set next_minute = %s, updated_at = now() where rule_name = %s",
        (next_minute, rule),
    )


def first_changed(
    connection: Connection, rule: str, since: datetime, supports: Mapping[str, str | None]
) -> datetime | None:
    """The oldest scored minute since then whose value or support is no longer what was judged."""
    row = connection.execute(
        """
        select min(s.window_start) as minute
        from serving.scored_minutes s
        join unnest(%(metrics)s::text[], %(supports)s::text[]) as m (metric, support) on m.metric = s.metric
        left join serving.kpi_minute k on k.window_start = s.window_start and k.metric = s.metric
        left join serving.kpi_minute u on u.window_start = s.window_start and u.metric = m.support
        where s.rule_name = %(rule)s and s.window_start >= %(since)s
          and (abs(coalesce(s.value, 0) - coalesce(k.value, 0)) > 1e-9 * abs(coalesce(k.value, 0))
               or coalesce(s.support, 0) <> coalesce(u.value, 0))
        """,
        {
            "metrics": list(supports),
            "supports": list(supports.values()),
            "rule": rule,
            "since": since,
        },
    ).fetchone()
    return row["minute"] if row else None


def has_late_history(
    connection: Connection,
    rule: str,
    made: Position,
    since: datetime,
    until: datetime,
    metrics: Sequence[str],
) -> bool:
    """Whether Gold has been given a dense stretch of minutes in [since, until) since the last call, all judged empty.

    Late events are none, however many: they are scattered, or fall into minutes that were judged with others.
    """
    row = connection.execute(
        """
        with filled as (
            select k.window_start
            from serving.kpi_minute k
            left join serving.scored_minutes s
                on s.rule_name = %(rule)s and s.metric = k.metric and s.window_start = k.window_start
            where k.updated_at > %(last_call)s - interval '5 minutes' and k.metric = any(%(metrics)s)
              and k.window_start >= %(since)s and k.window_start < %(until)s
            group by k.window_start
            having bool_and(coalesce(s.value, 0) = 0) and bool_or(k.value > 0)
        ), stretches as (
            select count(*) over (order by window_start range between current row and '59 minutes' following) as minutes
            from filled
        )
        select exists (select from stretches where minutes >= %(dense)s) as found
        """,
        {
            "rule": rule,
            "last_call": made.updated_at,
            "metrics": list(metrics),
            "since": since,
            "until": until,
            "dense": DENSE,
        },
    ).fetchone()
    return bool(row and row["found"])


def snapshot_before(
    connection: Connection, rule: str, minute: datetime
) -> tuple[datetime, dict[str, State]] | None:
    """The latest snapshot that knows nothing of that minute: its next minute, and its parts."""
    rows = connection.execute(
        "select next_minute, part, state from serving.detector_snapshots where rule_name = %(rule)s"
        " and next_minute = (select max(next_minute) from serving.detector_snapshots"
        " where rule_name = %(rule)s and next_minute <= %(minute)s)",
        {"rule": rule, "minute": minute},
    ).fetchall()
    if not rows:
        return None
    return rows[0]["next_minute"], {row["part"]: row["state"] for row in rows}


def replace_snapshots(
    connection: Connection, rule: str, since: datetime, taken: Mapping[datetime, Mapping[str, State]]
) -> None:
    """Replaces every snapshot after `since` by those taken."""
    connection.execute(
        "delete from serving.detector_snapshots where rule_name = %s and next_minute > %s", (rule, since)
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into serving.detector_snapshots (rule_name, next_minute, part, state) values (%s, %s, %s, %s)",
            [
                (rule, next_minute, part, Jsonb(state))
                for next_minute, parts in taken.items()
                for part, state in parts.items()
            ],
        )


def thin_out(connection: Connection, rule: str, keep: Iterable[datetime], now: datetime) -> None:
    """Drops the snapshots that are not to be kept, and scores so old that nobody will ask for them."""
    connection.execute(
        "delete from serving.detector_snapshots where rule_name = %s and next_minute <> all(%s)",
        (rule, list(keep)),
    )
    connection.execute("delete from serving.scored_minutes where window_start < %s", (now - SCORES_KEPT,))


def snapshots_of(connection: Connection, rule: str) -> list[datetime]:
    """The next minutes of all snapshots, the oldest first."""
    rows = connection.execute(
        "select distinct next_minute from serving.detector_snapshots where rule_name = %s order by 1", (rule,)
    ).fetchall()
    return [row["next_minute"] for row in rows]


def values_between(
    connection: Connection, metrics: Sequence[str], start: datetime, end: datetime
) -> dict[datetime, dict[str, float]]:
    """What Gold holds for these minutes, `end` not included; minutes without rows are left out."""
    rows = connection.execute(
        "select window_start, metric, value from serving.kpi_minute"
        " where window_start >= %s and window_start < %s and metric = any(%s)",
        (start, end, list(metrics)),
    )
    found: dict[datetime, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["window_start"], {})[row["metric"]] = float(row["value"])
    return found


def keep_scores(connection: Connection, rule: str, scored: Sequence[ScoredMinute]) -> None:
    """Stores the verdicts; of a minute that was scored before, the new one, counted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "create temp table fresh_scores (like serving.scored_minutes including defaults) on commit drop"
        )
        with cursor.copy(
            "copy fresh_scores (rule_name, metric, window_start, value, support, baseline, lower, upper, score,"
            " severity, reason) from stdin"
        ) as copy:
            for one in scored:
                verdict = one.verdict
                copy.write_row(
                    (
                        *(rule, one.metric, one.minute, _exact(verdict.value), _exact(one.support)),
                        *(verdict.baseline, verdict.lower, verdict.upper, verdict.score),
                        *(verdict.severity.value, verdict.reason),
                    )
                )
        cursor.execute(
            "insert into serving.scored_minutes select * from fresh_scores"
            " on conflict (rule_name, metric, window_start) do update set value = excluded.value,"
            " support = excluded.support, baseline = excluded.baseline, lower = excluded.lower,"
            " upper = excluded.upper, score = excluded.score, severity = excluded.severity,"
            " reason = excluded.reason, times = scored_minutes.times + 1, scored_at = now()"
        )
        cursor.execute("drop table fresh_scores")


def _exact(number: float | None) -> Decimal | None:
    """A float as the decimal that it was read from."""
    return None if number is None else Decimal(repr(number))
