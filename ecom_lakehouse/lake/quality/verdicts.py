"""What a check says of an hour, kept for readers without Dagster; what fails and blocks is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ecom_lakehouse.core.checks import Check
from ecom_lakehouse.core.rules import Severity
from ecom_lakehouse.lake.ledger import Layer, Ledger
from ecom_lakehouse.lake.quality.findings import Finding
from ecom_lakehouse.settings import PROJECT_ROOT, Settings

MOST_NAMED = 10
RUNBOOK = PROJECT_ROOT / "docs" / "runbook.md"

Fact = int | float | str


@dataclass(frozen=True)
class Verdict:
    """What a check says of an hour so far: one sentence, its numbers by name, and up to ten rows to look at.

    `broken_slices` are those that a blocking check speaks against.
    """

    check: Check
    passed: bool
    summary: str
    severity: Severity
    facts: dict[str, Fact] = field(default_factory=dict)
    samples: list[dict[str, str]] = field(default_factory=list)
    broken_slices: tuple[int, ...] = ()

    @property
    def description(self) -> str:
        """The sentence, and where it failed what to do next."""
        return self.summary if self.passed else f"{self.summary} {self.check.what_to_do}"


def passing(check: Check, summary: str, **facts: Fact) -> Verdict:
    """The promise holds."""
    return Verdict(check, True, summary, check.severity, facts)


def failing(check: Check, summary: str, **facts: Fact) -> Verdict:
    """The promise is broken, as badly as the check says."""
    return Verdict(check, False, summary, check.severity, facts)


def on_findings(check: Check, found: Sequence[Finding], otherwise: str) -> Verdict:
    """The verdict on what stands in an hour; `otherwise` is the sentence when nothing does."""
    if not found:
        return passing(check, otherwise)
    rows = sum(each.rows for each in found)
    places = ", ".join(each.subject for each in found[:3]) + (", …" if len(found) > 3 else "")
    return Verdict(
        check,
        passed=False,
        summary=f"{found[0].what[:1].upper()}{found[0].what[1:]} ({rows:,} in {places}).",
        severity=check.severity,
        facts={"rows": rows},
        samples=[
            {"where": each.subject, "rows": f"{each.rows:,}", "what": each.what}
            for each in found[:MOST_NAMED]
        ],
        broken_slices=tuple(each.slice_id for each in found if each.slice_id is not None),
    )


def runbook_link(settings: Settings, check: Check) -> str:
    """Where the runbook says what to do about a check."""
    return f"{settings.runbook_url or RUNBOOK}#{check.name}"


def record(ledger: Ledger, hour: datetime, verdicts: Sequence[Verdict], run_id: str) -> list[Verdict]:
    """Keeps the verdicts on an hour; gives those errors that the check did not have before.

    Before is the hour's own last verdict, or for a new hour that of the hour before it: what goes on failing is
    not news.
    """
    rows = ledger.connection.execute(
        "select distinct on (asset, check_name) asset, check_name, passed from lake.checks"
        " where planned_hour between %s and %s order by asset, check_name, planned_hour desc",
        (hour - timedelta(hours=1), hour),
    )
    failed_before = {(row["asset"], row["check_name"]) for row in rows if not row["passed"]}
    with ledger.connection.transaction(), ledger.connection.cursor() as cursor:
        cursor.executemany(
            "insert into lake.checks (planned_hour, asset, check_name, passed, severity, blocking, description,"
            " evaluated_at, run_id) values (%s, %s, %s, %s, %s, %s, %s, clock_timestamp(), %s)"
            " on conflict (planned_hour, asset, check_name) do update set passed = excluded.passed,"
            " severity = excluded.severity, blocking = excluded.blocking, description = excluded.description,"
            " evaluated_at = excluded.evaluated_at, run_id = excluded.run_id",
            [
                (
                    hour,
                    each.check.asset,
                    each.check.name,
                    each.passed,
                    each.severity,
                    each.check.blocking,
                    each.description,
                    run_id,
                )
                for each in verdicts
            ],
        )
    return [
        each
        for each in verdicts
        if not each.passed
        and each.severity == "error"
        and (each.check.asset, each.check.name) not in failed_before
    ]


def hold_broken(ledger: Ledger, verdicts: Sequence[Verdict], layer: Layer) -> list[int]:
    """Holds every slice that a failing blocking check speaks against; released, it is written again from `layer`."""
    held = []
    for each in verdicts:
        if each.passed or not each.check.blocking:
            continue
        for slice_id in each.broken_slices:
            ledger.hold(slice_id, f"{each.check.asset}.{each.check.name}: {each.description}", layer)
            held.append(slice_id)
    return held
