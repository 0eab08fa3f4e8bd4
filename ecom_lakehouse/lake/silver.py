"""Bronze → Silver and Quarantine: a slice judged once, split, deduplicated."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import functions as sf

from ecom_lakehouse.core.lateness import is_late
from ecom_lakehouse.core.silver import Limits, candidates, deduplicate, judge, quarantine_rows
from ecom_lakehouse.errors import LedgerError
from ecom_lakehouse.lake.guards import require_rows_inside_ranges
from ecom_lakehouse.lake.ledger import Slice
from ecom_lakehouse.lake.quality.observed import keep, observe
from ecom_lakehouse.lake.quality.orphans import accepted_ids, note_orphans
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.staging import staged

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class SilverSlice:
    """What became of a slice: rows by destination, broken rows by code, and the minutes it touched."""

    slice: Slice
    bronze_rows: int
    silver_rows: int
    quarantine_rows: int
    duplicate_rows: int
    late_rows: int
    rules: dict[str, int]
    minutes: frozenset[datetime]
    silver_bytes: int
    quarantine_bytes: int
    silver_files: int
    quarantine_files: int
    seconds: float


def write_silver(session: WriterSession, slice_: Slice) -> SilverSlice:
    """Replaces exactly this slice's rows in Silver and Quarantine by what Bronze holds, and marks it.

    Of a slice, Bronze = Silver + Quarantine + duplicates, to the row, or nothing is marked. The minutes of the
    rows that go and of those that come are dirty before the first row changes.

    Raises:
        LedgerError: the rows do not add up, or the lake and the ledger disagree.
    """
    started = time.monotonic()
    lake, ledger, slice_id = session.lake, session.ledger, slice_.slice_id
    require_rows_inside_ranges(slice_, lake)
    bronze = lake.bronze.read_slice(session.spark, slice_id, slice_.hour)
    judged = judge(bronze, limits(session))
    with staged(session.spark, judged, session.settings.lake_root, f"slice_{slice_id}") as judged:
        verdicts = _verdicts(judged)
        observed = observe(judged, candidates(judged))
        minutes = minutes_of(candidates(judged))
        goes = minutes_of(lake.silver.read(session.spark).where(sf.col("slice_id") == slice_id))
        ledger.mark_dirty(slice_id, minutes | goes)
        accepted_before = accepted_ids(lake, slice_) if goes else set()

        session.right.require()
        quarantined = lake.quarantine.replace_slice(
            quarantine_rows(judged, datetime.now(UTC)), slice_id, slice_.hour
        )
        accepted = _accepted(session, slice_, minutes)
        hours = len({(minute.date(), minute.hour) for minute in minutes}) or 1
        session.right.require()
        silver = lake.silver.replace_slice(
            deduplicate(candidates(judged), accepted), slice_id, slice_.hour, verdicts[()] // hours
        )
    note_orphans(session, slice_, accepted_before)
    valid = verdicts[()]
    broken = sum(verdicts.values()) - valid
    bronze_rows = lake.bronze.slice_rows(slice_id)
    if bronze_rows != valid + broken or quarantined.rows != broken or silver.rows > valid:
        raise LedgerError(
            f"Slice {slice_id} does not add up: Bronze holds {bronze_rows} rows, {valid} were found valid and "
            f"{broken} not, Silver took {silver.rows} and Quarantine {quarantined.rows}. It is not marked; "
            "run `lakehouse verify`."
        )
    outcome = SilverSlice(
        slice=slice_,
        bronze_rows=bronze_rows,
        silver_rows=silver.rows,
        quarantine_rows=quarantined.rows,
        duplicate_rows=valid - silver.rows,
        late_rows=_late_rows(session, slice_),
        rules=_rules(verdicts),
        minutes=frozenset(minutes | goes),
        silver_bytes=silver.bytes,
        quarantine_bytes=quarantined.bytes,
        silver_files=silver.files,
        quarantine_files=quarantined.files,
        seconds=time.monotonic() - started,
    )
    session.right.require()
    ledger.mark_silver(
        slice_id,
        {
            "silver_rows": outcome.silver_rows,
            "quarantine_rows": outcome.quarantine_rows,
            "duplicate_rows": outcome.duplicate_rows,
            "late_rows": outcome.late_rows,
        },
        outcome.rules,
        outcome.seconds,
        session.run_id,
    )
    keep(ledger, slice_id, observed)
    return outcome


def limits(session: WriterSession) -> Limits:
    """The contract's limits on event time, from the settings."""
    return Limits(
        future=timedelta(minutes=session.settings.future_limit_minutes),
        age=timedelta(days=session.settings.age_limit_days),
    )


def _verdicts(judged: DataFrame) -> Counter[tuple[str, ...]]:
    """Rows by the codes they broke; the empty tuple counts the valid ones."""
    counted = judged.groupBy("validation_errors").count().toArrow()
    return Counter({tuple(row["validation_errors"]): row["count"] for row in counted.to_pylist()})


def _late_rows(session: WriterSession, slice_: Slice) -> int:
    grace = timedelta(seconds=session.settings.close_grace_seconds)
    rows = session.lake.silver.read(session.spark).where(sf.col("slice_id") == slice_.slice_id)
    return rows.where(is_late(grace)).count()


def _rules(verdicts: Counter[tuple[str, ...]]) -> dict[str, int]:
    rules: Counter[str] = Counter()
    for codes, rows in verdicts.items():
        for code in codes:
            rules[code] += rows
    return dict(rules)


def minutes_of(events: DataFrame) -> set[datetime]:
    """The distinct minutes of event time."""
    minutes = events.select(sf.date_trunc("minute", "event_time").alias("minute")).distinct().toArrow()
    return {minute.replace(tzinfo=UTC) for minute in minutes["minute"].cast(pa.timestamp("us")).to_pylist()}


def _accepted(session: WriterSession, slice_: Slice, minutes: set[datetime]) -> DataFrame:
    """Event ids that other slices brought into Silver and that a duplicate here could repeat.

    By the contract these are Silver's rows of the same event hours, whenever they came, and those of slices
    ingested within the dedupe horizon before or after, whatever their event hour.
    """
    silver = session.lake.silver.read(session.spark).where(sf.col("slice_id") != slice_.slice_id)
    horizon = timedelta(minutes=session.settings.dedupe_horizon_minutes)
    near = session.ledger.ingested_between(slice_.planned_at - horizon, slice_.planned_at + horizon)
    by_hour = silver.where(in_hours(minutes)).select("event_id")
    by_slice = silver.where(_in_slices(near)).select("event_id")
    return by_hour.union(by_slice)


def in_hours(minutes: set[datetime]) -> Column:
    """The condition for rows of the event hours that these minutes lie in: one term a day, 366 at most in use.

    A balanced tree: engines refuse expressions a hundred levels deep.
    """
    days: dict[date, set[int]] = {}
    for minute in minutes:
        days.setdefault(minute.date(), set()).add(minute.hour)
    terms = [
        (sf.col("event_date") == sf.lit(day)) & sf.col("event_hour").isin(sorted(hours))
        for day, hours in sorted(days.items())
    ]
    while len(terms) > 1:
        terms = [reduce(or_, terms[at : at + 2]) for at in range(0, len(terms), 2)]
    return terms[0] if terms else sf.lit(False)


def _in_slices(slice_ids: Sequence[int]) -> Column:
    if not slice_ids:
        return sf.lit(False)
    return sf.col("slice_id").between(min(slice_ids), max(slice_ids))
