"""Whether Silver can be trusted: nothing left out, nothing twice, nothing broken, and what is unusual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pyarrow.compute as pc
from deltalake import Schema

from ecom_lakehouse.core.checks import SILVER_CHECKS, Check
from ecom_lakehouse.core.contract import FIELD_NAMES
from ecom_lakehouse.core.drift import CHANGED_TYPE, NEW_FIELD
from ecom_lakehouse.core.judgement import broken_rules_of_typed
from ecom_lakehouse.lake import delta_sql
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.findings import Finding, slice_subject
from ecom_lakehouse.lake.quality.observed import currencies_of_hour, drift_of_hour
from ecom_lakehouse.lake.quality.tolerances import share_in_force
from ecom_lakehouse.lake.quality.verdicts import MOST_NAMED, Verdict, failing, on_findings, passing
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import SilverSlice, limits
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings

(
    ACCOUNTING,
    EVENT_ID_UNIQUE,
    NO_RULE_BROKEN,
    SCHEMA_AS_DECLARED,
    DUPLICATES_HAVE_ACCEPTED_COPY,
    LATE_SHARE,
    DUPLICATE_SHARE,
    ONE_CURRENCY,
    FIELDS_AS_IN_CONTRACT,
) = SILVER_CHECKS

JUDGED_COLUMNS = [*FIELD_NAMES, "kafka_timestamp"]


def silver_verdicts(session: WriterSession, hour: datetime, written: Sequence[SilverSlice]) -> list[Verdict]:
    """The verdicts on Silver of the hour so far, after a run has written these slices."""
    ledger, settings = session.ledger, session.settings
    return [
        accounting(session, hour, [each.slice for each in written]),
        event_id_unique(session, hour, written),
        no_rule_broken(session, hour, [each.slice for each in written]),
        schema_as_declared(session.lake),
        duplicates_have_accepted_copy(ledger, hour),
        *shares(ledger, settings, hour),
        one_currency(ledger, hour),
        fields_as_in_contract(ledger, settings, hour),
    ]


def accounting(session: WriterSession, hour: datetime, written: Sequence[Slice]) -> Verdict:
    """Bronze = Silver + Quarantine + duplicates: by what is stored for the slices written, counted for the hour."""
    lake, ledger = session.lake, session.ledger
    counted = {
        row["slice_id"]: row
        for row in ledger.connection.execute(
            "select slice_id, bronze_rows, silver_rows, quarantine_rows, duplicate_rows from lake.slices"
            " where slice_id = any(%s)",
            ([each.slice_id for each in written],),
        )
    }
    found = []
    for slice_ in written:
        bronze, silver, quarantine = (table.slice_rows(slice_.slice_id) for table in lake.tables)
        count = counted[slice_.slice_id]
        difference = abs(bronze - silver - quarantine - count["duplicate_rows"])
        stored_otherwise = (bronze, silver, quarantine) != (
            count["bronze_rows"],
            count["silver_rows"],
            count["quarantine_rows"],
        )
        if difference or stored_otherwise:
            what = (
                f"rows do not add up: Bronze stores {bronze} ({count['bronze_rows']} counted), Silver {silver} "
                f"({count['silver_rows']}), Quarantine {quarantine} ({count['quarantine_rows']}), and "
                f"{count['duplicate_rows']} were duplicates"
            )
            found.append(Finding.in_slice(slice_, max(1, difference), what))
    findings.replace(ledger, ACCOUNTING, [slice_subject(each.slice_id) for each in written], found)
    totals = ledger.hour_totals(hour)
    return on_findings(
        ACCOUNTING,
        findings.standing(ledger, ACCOUNTING, hour),
        f"{totals['bronze_rows']:,} in Bronze = {totals['silver_rows']:,} in Silver"
        f" + {totals['quarantine_rows']:,} in Quarantine + {totals['duplicate_rows']:,} duplicates.",
    )


def event_id_unique(session: WriterSession, hour: datetime, written: Sequence[SilverSlice]) -> Verdict:
    """No event_id of the slices written is twice in Silver where the contract lets it be there once.

    Looked for in the event hours that the run touched. An id that was used again in another hour, by a slice
    further away than the dedupe horizon, is another event.
    """
    slices = {each.slice.slice_id: each.slice for each in written}
    minutes = {minute for each in written for minute in each.minutes}
    in_hours = delta_sql.in_event_hours(minutes)
    answer = delta_sql.query(
        {"silver": session.lake.silver},
        f"select event_id, slice_id, event_date, event_hour from silver where {in_hours} and event_id in"
        f" (select event_id from silver where {in_hours} group by event_id having count(*) > 1"
        f"  and max(case when {delta_sql.in_slices(slices)} then 1 else 0 end) = 1)",
    )
    copies: dict[str, list[dict[str, Any]]] = {}
    for row in answer.to_pylist():
        copies.setdefault(row["event_id"], []).append(row)
    planned_at = session.ledger.planned_at({row["slice_id"] for rows in copies.values() for row in rows})
    horizon = timedelta(minutes=session.settings.dedupe_horizon_minutes)

    def one_too_many(one: dict[str, Any], other: dict[str, Any]) -> bool:
        same_hour = (one["event_date"], one["event_hour"]) == (other["event_date"], other["event_hour"])
        # one that the ledger doesn't know is judged as near
        at = planned_at.get(one["slice_id"]), planned_at.get(other["slice_id"])
        return same_hour or at[0] is None or at[1] is None or abs(at[0] - at[1]) <= horizon

    broken: dict[int, set[str]] = {}
    for event_id, rows in copies.items():
        for one, other in combinations(rows, 2):
            ours = max(each["slice_id"] if each["slice_id"] in slices else 0 for each in (one, other))
            if ours and one_too_many(one, other):
                broken.setdefault(ours, set()).add(event_id)
    found = [
        Finding.in_slice(
            slices[slice_id],
            len(ids),
            f"{len(ids)} event_ids are in Silver more than once, such as {min(ids)}",
        )
        for slice_id, ids in sorted(broken.items())
    ]
    findings.replace(session.ledger, EVENT_ID_UNIQUE, [slice_subject(each) for each in slices], found)
    return on_findings(
        EVENT_ID_UNIQUE,
        findings.standing(session.ledger, EVENT_ID_UNIQUE, hour),
        "Every event_id of the event hours touched is in Silver once.",
    )


def no_rule_broken(session: WriterSession, hour: datetime, written: Sequence[Slice]) -> Verdict:
    """No row of the slices written breaks a rule, judged again by its stored columns."""
    found = []
    for slice_ in written:
        rows = session.lake.silver.slice_arrow(slice_.slice_id, slice_.hour, JUDGED_COLUMNS)
        codes = broken_rules_of_typed(rows, limits(session))
        broken = int(pc.sum(pc.greater(pc.list_value_length(codes), 0)).as_py() or 0)
        if broken:
            named = ", ".join(sorted(set(pc.list_flatten(codes).to_pylist())))
            found.append(Finding.in_slice(slice_, broken, f"rows in Silver break {named}"))
    looked_at = [slice_subject(each.slice_id) for each in written]
    findings.replace(session.ledger, NO_RULE_BROKEN, looked_at, found)
    standing = findings.standing(session.ledger, NO_RULE_BROKEN, hour)
    return on_findings(NO_RULE_BROKEN, standing, "No stored row breaks a rule.")


def schema_as_declared(lake: Lake) -> Verdict:
    """Bronze, Silver and Quarantine have the declared columns, in order, with their types."""
    problems = []
    for table in lake.tables:
        stored = {field.name: str(field.type) for field in table.delta().schema().fields}
        declared = {
            field.name: str(field.type) for field in Schema.from_json(table.schema.struct.json()).fields
        }
        if list(stored) != list(declared) or stored != declared:
            differing = sorted(
                name for name in stored.keys() | declared.keys() if stored.get(name) != declared.get(name)
            )
            problems.append(f"{table.schema.name} ({', '.join(differing) or 'the order of columns'})")
    if problems:
        return failing(SCHEMA_AS_DECLARED, f"Stored tables are not as declared: {'; '.join(problems)}.")
    return passing(SCHEMA_AS_DECLARED, "Columns, order and types are as declared.")


def duplicates_have_accepted_copy(ledger: Ledger, hour: datetime) -> Verdict:
    """No duplicate of the hour has lost its accepted copy to a rebuild of another slice."""
    return on_findings(
        DUPLICATES_HAVE_ACCEPTED_COPY,
        findings.standing(ledger, DUPLICATES_HAVE_ACCEPTED_COPY, hour),
        "No copy that the hour's duplicates repeat has left Silver.",
    )


def shares(ledger: Ledger, settings: Settings, hour: datetime) -> list[Verdict]:
    """How many of the hour's messages came late, and how many repeated an accepted event."""
    totals = ledger.hour_totals(hour)
    judged = messages_judged(ledger, hour)
    return [
        _share(settings, LATE_SHARE, totals["late_rows"], judged, "came after their minute was closed"),
        _share(settings, DUPLICATE_SHARE, totals["duplicate_rows"], judged, "repeat an accepted event"),
    ]


def _share(settings: Settings, check: Check, rows: int, judged: int, what: str) -> Verdict:
    tolerance = share_in_force(settings, check.name)
    share = rows / judged if judged else 0.0
    verdict = passing if rows < tolerance.min_count or share <= tolerance.warn_above else failing
    return verdict(
        check,
        f"{rows:,} of {judged:,} messages {what} ({share:.2%}).",
        rows=rows,
        share=round(share, 6),
        **{"warns above": tolerance.warn_above, "counts from": tolerance.min_count},
    )


def one_currency(ledger: Ledger, hour: datetime) -> Verdict:
    """All prices of the hour's valid events are in one currency."""
    found = currencies_of_hour(ledger, hour)
    named = ", ".join(f"{currency} {events:,}" for currency, events in found.most_common(MOST_NAMED))
    if len(found) <= 1:
        return passing(
            ONE_CURRENCY, f"One currency: {named}." if found else "No prices yet.", currencies=len(found)
        )
    return failing(
        ONE_CURRENCY,
        f"Prices are in {len(found)} currencies, and revenue adds them as they are: {named}.",
        currencies=len(found),
    )


def fields_as_in_contract(ledger: Ledger, settings: Settings, hour: datetime) -> Verdict:
    """Which fields came that the contract doesn't name, and which in another JSON type.

    One message with a new field is news. Changed types break rules where they matter: here their share counts.
    """
    judged = messages_judged(ledger, hour)
    drift = drift_of_hour(ledger, hour)
    tolerance = share_in_force(settings, FIELDS_AS_IN_CONTRACT.name)
    new = sum(each.kind == NEW_FIELD for each in drift)
    changed = sum(each.messages for each in drift if each.kind == CHANGED_TYPE)
    too_many = changed >= tolerance.min_count and changed > tolerance.warn_above * judged
    if not new and not too_many:
        return passing(
            FIELDS_AS_IN_CONTRACT,
            f"No new field; {changed:,} of {judged:,} messages had a field of another type.",
            **{"changed types": changed},
        )
    named = "; ".join(f"{each} ({each.messages / judged:.2%})" for each in drift[:3])
    verdict = failing(
        FIELDS_AS_IN_CONTRACT,
        f"Messages differ from the contract: {named}{'; …' if len(drift) > 3 else ''}.",
        **{"new fields": new, "changed types": changed},
    )
    verdict.samples.extend(
        {
            "field": each.field,
            "came as": each.json_type or "a field that the contract doesn't name",
            "messages": f"{each.messages:,}",
            "share": f"{each.messages / judged:.2%}",
        }
        for each in drift[:MOST_NAMED]
    )
    return verdict


def messages_judged(ledger: Ledger, hour: datetime) -> int:
    """How many messages of the hour were judged so far."""
    totals = ledger.hour_totals(hour)
    return int(totals["silver_rows"] + totals["quarantine_rows"] + totals["duplicate_rows"])
