"""The checks that are no rules: what each asset promises, and what to do when it is broken.

The rules' own checks are derived from their catalogue (`core.rules`), one each, and stand here beside the others,
so that Dagster, the runbook's test and the webhook see one list.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecom_lakehouse.core.rules import RULES, Severity, Tolerance


@dataclass(frozen=True)
class Check:
    """One promise about an asset: what holds while it passes, and the first thing to do when it doesn't.

    A blocking one holds the slices that break it: Bronze goes on, Silver and Gold wait for a person. One
    `on_rows` looks at the rows that a run wrote, and what it finds stands until they are looked at again; the
    others ask the ledger about the hour. `tolerance` is for shares of an hour's messages.
    """

    name: str
    asset: str
    meaning: str
    what_to_do: str
    severity: Severity = "error"
    blocking: bool = False
    on_rows: bool = False
    tolerance: Tolerance | None = None


BRONZE_CHECKS = (
    Check(
        "offsets_contiguous",
        "bronze_events",
        "Every range of offsets starts where the range before it ended.",
        "The ledger was changed by hand or restored: run `lakehouse verify`, then `lakehouse rebuild-ledger`.",
    ),
    Check(
        "no_offsets_lost",
        "bronze_events",
        "Kafka still held every offset of the hour when it was read.",
        "The messages are gone for good. Lengthen the topic's retention, and ask the producers to send again.",
    ),
    Check(
        "coordinates_unique",
        "bronze_events",
        "No Kafka partition and offset is stored twice.",
        "Materialize the hour from bronze_events on: the slice is replaced by what Kafka holds.",
        blocking=True,
        on_rows=True,
    ),
    Check(
        "rows_inside_ranges",
        "bronze_events",
        "Every row's slice is in the ledger, and its offset inside that slice's ranges.",
        "The ledger and Bronze disagree: run `lakehouse verify`, then `lakehouse rebuild-ledger`.",
        blocking=True,
        on_rows=True,
    ),
)

SILVER_CHECKS = (
    Check(
        "accounting",
        "silver_events",
        "Bronze = Silver + Quarantine + duplicates, to the row, slice by slice.",
        "Materialize the hour from silver_events on; if it stays, run `lakehouse verify`.",
        blocking=True,
        on_rows=True,
    ),
    Check(
        "event_id_unique",
        "silver_events",
        "Each event_id is in Silver once, over all event hours that the run touched.",
        "Materialize the hour from silver_events on: it is deduplicated anew against all of Silver.",
        blocking=True,
        on_rows=True,
    ),
    Check(
        "no_rule_broken",
        "silver_events",
        "No row breaks any rule, judged again by what is stored.",
        "Materialize the hour from silver_events on: every message is judged anew from its raw value.",
        blocking=True,
        on_rows=True,
    ),
    Check(
        "schema_as_declared",
        "silver_events",
        "The stored tables have the declared columns, in order, with their types.",
        "Somebody altered a table: compare with `core/schemas.py`, and write the table anew if it stays.",
    ),
    Check(
        "duplicates_have_accepted_copy",
        "silver_events",
        "Every message left out as a duplicate has its accepted copy in Silver.",
        "Materialize this hour from silver_events on: a copy of its duplicates left Silver since.",
        on_rows=True,
    ),
    Check(
        "late_share",
        "silver_events",
        "Few events reach Kafka after their minute was closed.",
        "Their minutes were rewritten, nothing is lost. Ask the producers why they send late.",
        severity="warn",
        tolerance=Tolerance(warn_above=0.20, error_above=1.0, min_count=50),
    ),
    Check(
        "duplicate_share",
        "silver_events",
        "Few messages repeat an event that was accepted before.",
        "Nothing is counted twice. Ask the producers why they send again.",
        severity="warn",
        tolerance=Tolerance(warn_above=0.10, error_above=1.0, min_count=50),
    ),
    Check(
        "one_currency",
        "silver_events",
        "All prices of the hour are in one currency: revenue adds them as they are.",
        "Revenue of these minutes adds unlike things. Ask the producer that sends the other currency.",
    ),
    Check(
        "fields_as_in_contract",
        "silver_events",
        "Messages have the contract's fields in their JSON types, and no others.",
        "Ask the producer whether the contract changes; the raw value keeps every field.",
        severity="warn",
        tolerance=Tolerance(warn_above=0.02, error_above=1.0, min_count=10),
    ),
)

KPI_CHECKS = (
    Check(
        "minutes_complete",
        "kpi_minute",
        "Every minute has all ten metrics.",
        "Materialize the hour with kpi_minute alone: its minutes are computed anew.",
        on_rows=True,
    ),
    Check(
        "sums_equal_silver",
        "kpi_minute",
        "Counts and revenue of the minutes that the run wrote equal Silver, counted another way.",
        "Materialize the hour with kpi_minute alone, then run `lakehouse verify`.",
        on_rows=True,
    ),
    Check(
        "ratios_consistent",
        "kpi_minute",
        "Ratios and aov follow from the counts and revenue beside them.",
        "Materialize the hour with kpi_minute alone: its minutes are computed anew.",
        on_rows=True,
    ),
    Check(
        "nothing_negative",
        "kpi_minute",
        "No KPI is below zero.",
        "Look for a negative price or count: run `lakehouse verify`, then materialize the hour.",
        on_rows=True,
    ),
    Check(
        "fresh",
        "kpi_minute",
        "What Kafka held a short while ago is served.",
        "See whether work piles up: `lakehouse status`.",
        severity="warn",
    ),
)

QUARANTINE_CHECKS = tuple(
    Check(
        rule.code,
        "quarantine_events",
        f"Few messages break this rule: {rule.meaning}",
        f"{rule.action} `lakehouse quarantine --rule {rule.code} --show` prints them.",
        severity=rule.severity,
        tolerance=rule.tolerance,
    )
    for rule in RULES
)

CHECKS = (*BRONZE_CHECKS, *SILVER_CHECKS, *QUARANTINE_CHECKS, *KPI_CHECKS)
TOLERANCES = {each.name: each.tolerance for each in CHECKS if each.tolerance}
