"""How often each rule was broken in an hour so far: share, change, first and last, and a few messages to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ecom_lakehouse.core.checks import QUARANTINE_CHECKS
from ecom_lakehouse.core.rules import Rule
from ecom_lakehouse.lake import delta_sql
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.quality.tolerances import rules_in_force
from ecom_lakehouse.lake.quality.verdicts import MOST_NAMED, Fact, Verdict
from ecom_lakehouse.lake.quarantine import Selection, messages, sources
from ecom_lakehouse.lake.session import WriterSession

HOURS_BEFORE = timedelta(hours=24)
SAMPLE_TEXT = 300
CHECK_OF = {each.name: each for each in QUARANTINE_CHECKS}


@dataclass(frozen=True)
class BrokenInHour:
    """How often a rule was broken: in the hour, in the hours before it; its first and last message in the hour."""

    rows: int = 0
    rows_before: int = 0
    first: str = ""
    last: str = ""
    newest_slice: int | None = None


def rule_verdicts(session: WriterSession, hour: datetime, written: Sequence[Slice]) -> list[Verdict]:
    """The verdict on every rule in the hour so far, after a run has written these slices."""
    keep_edges(session, written)
    judged, judged_before = judged_messages(session.ledger, hour)
    broken = broken_in(session.ledger, hour)
    return [
        _verdict(session, hour, rule, broken.get(rule.code, BrokenInHour()), judged, judged_before)
        for rule in rules_in_force(session.settings)
    ]


def keep_edges(session: WriterSession, written: Sequence[Slice]) -> None:
    """Notes in the ledger the first and the last message of each slice that broke each rule."""
    order = "order by kafka_timestamp, kafka_partition, kafka_offset"
    found = delta_sql.query(
        {"quarantine": session.lake.quarantine},
        f"select slice_id, code, first_value(message {order}) as first, last_value(message {order}) as last from"
        f" (select slice_id, unnest(validation_errors) as code, kafka_timestamp, kafka_partition, kafka_offset,"
        f"  concat('partition ', kafka_partition, ', offset ', kafka_offset, ', ',"
        f"         to_char(kafka_timestamp, '%Y-%m-%d %H:%M:%S'), 'Z') as message"
        f"  from quarantine where {delta_sql.in_slices(each.slice_id for each in written)})"
        f" group by slice_id, code",
    )
    with session.ledger.connection.transaction(), session.ledger.connection.cursor() as cursor:
        cursor.executemany(
            "update lake.slice_rules set first_message = %s, last_message = %s where slice_id = %s and code = %s",
            [(row["first"], row["last"], row["slice_id"], row["code"]) for row in found.to_pylist()],
        )


def judged_messages(ledger: Ledger, hour: datetime) -> tuple[int, int]:
    """How many messages were judged: of the hour so far, and of the hours before it."""
    row = ledger.connection.execute(
        "select coalesce(sum(judged) filter (where planned_hour = %(hour)s), 0)::bigint as judged,"
        " coalesce(sum(judged) filter (where planned_hour < %(hour)s), 0)::bigint as before from"
        " (select planned_hour, silver_rows + quarantine_rows + duplicate_rows as judged from lake.slices"
        "  where planned_hour between %(start)s and %(hour)s) s",
        {"hour": hour, "start": hour - HOURS_BEFORE},
    ).fetchone()
    return (row["judged"], row["before"]) if row else (0, 0)


def broken_in(ledger: Ledger, hour: datetime) -> dict[str, BrokenInHour]:
    """What is known of each rule that was broken in the hour so far or in the hours before it."""
    rows = ledger.connection.execute(
        "select code,"
        " coalesce(sum(rows) filter (where planned_hour = %(hour)s), 0)::bigint as rows,"
        " coalesce(sum(rows) filter (where planned_hour < %(hour)s), 0)::bigint as rows_before,"
        " (array_agg(first_message order by slice_id) filter (where planned_hour = %(hour)s))[1] as first,"
        " (array_agg(last_message order by slice_id desc) filter (where planned_hour = %(hour)s))[1] as last,"
        " max(slice_id) filter (where planned_hour = %(hour)s) as newest_slice"
        " from lake.slices join lake.slice_rules using (slice_id)"
        " where planned_hour between %(start)s and %(hour)s group by code",
        {"hour": hour, "start": hour - HOURS_BEFORE},
    )
    return {
        row["code"]: BrokenInHour(
            row["rows"], row["rows_before"], row["first"] or "", row["last"] or "", row["newest_slice"]
        )
        for row in rows
    }


def _verdict(
    session: WriterSession, hour: datetime, rule: Rule, broken: BrokenInHour, judged: int, judged_before: int
) -> Verdict:
    outcome = rule.verdict(broken.rows, judged)
    share = broken.rows / judged if judged else 0.0
    share_before = broken.rows_before / judged_before if judged_before else None
    tolerance = rule.tolerance
    facts: dict[str, Fact] = {
        "rows": broken.rows,
        "messages of the hour": judged,
        "share": round(share, 6),
        "warns above": tolerance.warn_above,
        "fails above": tolerance.error_above,
        "counts from": tolerance.min_count,
        "share in the 24 hours before": "no messages" if share_before is None else round(share_before, 6),
        "change": _change(share, share_before),
    }
    if broken.rows:
        facts |= {"first": broken.first, "last": broken.last}
    samples = []
    if outcome != "pass" and broken.newest_slice is not None:
        selection = Selection(rule=rule.code, hour=hour, slice_id=broken.newest_slice)
        samples = _samples(session, selection)
        facts["producers in the newest slice"] = ", ".join(
            f"{source} {count:,}" for source, count in sources(session.lake.quarantine, selection).items()
        )
    return Verdict(
        CHECK_OF[rule.code],
        passed=outcome == "pass",
        summary=f"{broken.rows:,} of {judged:,} messages break it ({share:.2%}; {_change(share, share_before)}).",
        severity=rule.severity if outcome == "pass" else outcome,
        facts=facts,
        samples=samples,
    )


def _change(share: float, before: float | None) -> str:
    if before is None:
        return "no messages in the 24 hours before"
    return f"{share - before:+.2%} points against {before:.2%} in the 24 hours before"


def _samples(session: WriterSession, selection: Selection) -> list[dict[str, str]]:
    return [
        {
            "key": _shown(row.get("key", row.get("key_base64"))),
            "kafka_partition": str(row["kafka_partition"]),
            "kafka_offset": str(row["kafka_offset"]),
            "source": _shown(row["source"]),
            "codes": ", ".join(row["validation_errors"]),
            "raw": _shown(row.get("raw", row.get("raw_base64"))),
        }
        for row in messages(session.lake.quarantine, selection, MOST_NAMED)
    ]


def _shown(value: str | None) -> str:
    if value is None:
        return "(none)"
    return value if len(value) <= SAMPLE_TEXT else value[: SAMPLE_TEXT - 1] + "…"
