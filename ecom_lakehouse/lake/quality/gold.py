"""Whether Gold's minutes are whole, follow from each other and from Silver, and are fresh."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ecom_lakehouse.core.checks import KPI_CHECKS, Check
from ecom_lakehouse.core.contract import EVENT_TYPES, PURCHASE
from ecom_lakehouse.core.kpis import METRIC_NAMES, RATIOS, SUMS, kpi_values
from ecom_lakehouse.lake import delta_sql
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.findings import Finding, minute_subject
from ecom_lakehouse.lake.quality.verdicts import Verdict, failing, on_findings, passing
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.settings import Settings

MINUTES_COMPLETE, SUMS_EQUAL_SILVER, RATIOS_CONSISTENT, NOTHING_NEGATIVE, FRESH = KPI_CHECKS

HOUR = timedelta(hours=1)
Values = dict[str, Decimal]
ByMinute = dict[datetime, Values]


def gold_verdicts(session: WriterSession, hour: datetime, minutes: Sequence[datetime]) -> list[Verdict]:
    """The verdicts on Gold, after a run of this hour has computed these minutes anew."""
    stored = stored_kpis(session.ledger, minutes)
    expected = silver_sums(session, minutes)
    broken = {
        MINUTES_COMPLETE: _incomplete(stored, expected),
        SUMS_EQUAL_SILVER: _unequal(stored, expected),
        RATIOS_CONSISTENT: _inconsistent(stored),
        NOTHING_NEGATIVE: _negative(stored),
    }
    promises = {
        MINUTES_COMPLETE: "Every minute that the hour wrote has all ten metrics.",
        SUMS_EQUAL_SILVER: "Counts and revenue of the minutes written equal Silver's rows.",
        RATIOS_CONSISTENT: "Ratios and aov follow from counts and revenue.",
        NOTHING_NEGATIVE: "No KPI is below zero.",
    }
    verdicts = []
    for check, what in broken.items():
        _replace(session.ledger, check, hour, minutes, what)
        standing = findings.standing(session.ledger, check, hour)
        verdicts.append(on_findings(check, standing, promises[check]))
    return [*verdicts, fresh(session.ledger, session.settings, hour)]


def stored_kpis(ledger: Ledger, minutes: Sequence[datetime]) -> ByMinute:
    """What Gold serves of these minutes."""
    rows = ledger.connection.execute(
        "select window_start, metric, value from serving.kpi_minute where window_start = any(%s)",
        (list(minutes),),
    )
    stored: ByMinute = {}
    for row in rows:
        stored.setdefault(row["window_start"], {})[row["metric"]] = row["value"]
    return stored


def silver_sums(session: WriterSession, minutes: Sequence[datetime]) -> ByMinute:
    """Counts and revenue of these minutes as Silver has them, without the code and the engine that made Gold's."""
    if not minutes:
        return {}
    types = ", ".join(
        f"count(*) filter (where event_type = {delta_sql.text(name)}) as events_{name}"
        for name in EVENT_TYPES
    )
    first, after_last = min(minutes), max(minutes) + timedelta(minutes=1)
    answer = delta_sql.query(
        {"silver": session.lake.silver},
        f"select date_trunc('minute', event_time) as minute, count(*) as events_total, {types},"
        f" coalesce(sum(cast(price as decimal(28, 4)) * cast(quantity as decimal(10, 0)))"
        f"  filter (where event_type = {delta_sql.text(PURCHASE)}), 0) as revenue"
        f" from silver where ({delta_sql.in_event_hours(minutes)})"
        f" and event_time >= {delta_sql.instant(first)} and event_time < {delta_sql.instant(after_last)} group by 1",
    )
    wanted = set(minutes)
    return {
        row["minute"].astimezone(UTC): {name: Decimal(row[name]) for name in SUMS}
        for row in answer.to_pylist()
        if row["minute"] in wanted
    }


def fresh(ledger: Ledger, settings: Settings, hour: datetime) -> Verdict:
    """What Kafka held a short while ago is served; asked of the running hour only."""
    row = ledger.connection.execute(
        "select lake.reached_gold_at() as reached, clock_timestamp() as now"
    ).fetchone()
    if row is None or row["reached"] is None:
        return passing(FRESH, "Nothing has reached Gold yet.")
    age = (row["now"] - row["reached"]).total_seconds()
    facts = {"age (seconds)": round(age, 1), "warns above (seconds)": settings.stale_after_seconds}
    if row["now"] >= hour + HOUR:
        return passing(
            FRESH, f"The hour is over; Gold has all up to {row['reached']:%Y-%m-%d %H:%M:%S}Z.", **facts
        )
    said = f"Gold has all that Kafka held {age:.0f} s ago."
    return (failing if age > settings.stale_after_seconds else passing)(FRESH, said, **facts)


def _replace(
    ledger: Ledger, check: Check, hour: datetime, minutes: Sequence[datetime], broken: dict[datetime, str]
) -> None:
    found = [Finding(minute_subject(minute), hour, None, 1, what) for minute, what in sorted(broken.items())]
    findings.replace(ledger, check, [minute_subject(each) for each in minutes], found)


def _incomplete(stored: ByMinute, expected: ByMinute) -> dict[datetime, str]:
    return {
        minute: f"minutes lack metrics, such as {sorted(missing)[0]}"
        for minute in stored.keys() | expected.keys()
        if (missing := set(METRIC_NAMES) - stored.get(minute, {}).keys())
    }


def _unequal(stored: ByMinute, expected: ByMinute) -> dict[datetime, str]:
    unequal = {}
    for minute in stored.keys() | expected.keys():
        served, counted = stored.get(minute, {}), expected.get(minute, dict.fromkeys(SUMS, Decimal(0)))
        for name in SUMS:
            if served.get(name, Decimal(0)) != counted[name]:
                unequal[minute] = (
                    f"{name} differs: {served.get(name)} is served, Silver gives {counted[name]}"
                )
                break
    return unequal


def _inconsistent(stored: ByMinute) -> dict[datetime, str]:
    inconsistent = {}
    for minute, values in stored.items():
        if not values.keys() >= set(SUMS):
            continue  # MINUTES_COMPLETE says so
        follows = kpi_values(values)
        for name in RATIOS:
            if values.get(name, follows[name]) != follows[name]:
                inconsistent[minute] = f"{name} is {values[name]}, but {follows[name]} follows from the sums"
    return inconsistent


def _negative(stored: ByMinute) -> dict[datetime, str]:
    return {
        minute: f"{name} is {value}"
        for minute, values in stored.items()
        for name, value in values.items()
        if value < 0
    }
