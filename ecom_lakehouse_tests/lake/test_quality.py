"""Verdicts without Dagster: tolerances, what is news, what stands, and tables that somebody altered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from deltalake import Field
from deltalake.schema import PrimitiveType

from ecom_lakehouse.core.checks import QUARANTINE_CHECKS
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.quality import findings
from ecom_lakehouse.lake.quality.elsewhere import verdicts_elsewhere
from ecom_lakehouse.lake.quality.findings import Finding
from ecom_lakehouse.lake.quality.gold import NOTHING_NEGATIVE
from ecom_lakehouse.lake.quality.silver import schema_as_declared
from ecom_lakehouse.lake.quality.tolerances import rules_in_force, share_in_force
from ecom_lakehouse.lake.quality.verdicts import failing, on_findings, passing, record
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings, ToleranceSetting, load_settings

HOUR = datetime(2026, 1, 31, 12, tzinfo=UTC)
NEXT_HOUR = HOUR + timedelta(hours=1)
CHECK = QUARANTINE_CHECKS[1]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """An empty ledger."""
    with connect(settings, autocommit=True) as connection:
        yield Ledger(connection)


def with_tolerances(settings: Settings, **tolerances: ToleranceSetting) -> Settings:
    return settings.model_copy(update={"tolerances": tolerances})


def test_a_tolerance_is_bent_by_the_settings_and_only_as_far_as_they_say(settings: Settings) -> None:
    bent = with_tolerances(
        settings,
        malformed_json=ToleranceSetting(error_above=0.5),
        late_share=ToleranceSetting(warn_above=0.9),
    )
    rule = next(each for each in rules_in_force(bent) if each.code == "malformed_json")
    before = next(each for each in rules_in_force(settings) if each.code == "malformed_json")
    assert rule.tolerance.error_above == 0.5
    assert rule.tolerance.min_count == before.tolerance.min_count
    assert rule.verdict(40, 100) == "warn"
    assert before.verdict(40, 100) == "error"
    assert share_in_force(bent, "late_share").warn_above == 0.9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{"malformed": {"warn_above": 0.1}}', "'malformed' has no tolerance; allowed are late_share"),
        (
            '{"malformed_json": {"warn_above": 0.9}}',
            "malformed_json: warn_above=0.9 is more than error_above",
        ),
        ('{"late_share": {"warn_above": 0.9, "error_above": 0.1}}', "late_share: .*it must warn first"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused_at_the_start_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, given: str, said: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE_TOLERANCES", given)
    load_settings.cache_clear()
    with pytest.raises(SettingsError, match=f"LAKEHOUSE_TOLERANCES=.*{said}"):
        load_settings()
    load_settings.cache_clear()


def test_only_what_begins_to_fail_is_news(ledger: Ledger) -> None:
    good, bad = passing(CHECK, "fine"), failing(CHECK, "broken")
    assert record(ledger, HOUR, [good], "run") == []
    assert record(ledger, HOUR, [bad], "run") == [bad]
    assert record(ledger, HOUR, [bad], "run") == []
    assert record(ledger, NEXT_HOUR, [bad], "run") == []
    assert record(ledger, NEXT_HOUR, [good], "run") == []
    assert record(ledger, NEXT_HOUR, [bad], "run") == [bad]


def test_a_finding_stands_until_its_subject_is_looked_at_again(ledger: Ledger) -> None:
    broken = Finding("minute 1", HOUR, None, 2, "values are wrong")
    findings.replace(ledger, NOTHING_NEGATIVE, ["minute 1"], [broken])
    findings.replace(ledger, NOTHING_NEGATIVE, ["minute 2"], [])
    assert findings.standing(ledger, NOTHING_NEGATIVE, HOUR) == [broken]
    assert not on_findings(NOTHING_NEGATIVE, [broken], "fine").passed
    findings.replace(ledger, NOTHING_NEGATIVE, ["minute 1"], [])
    assert findings.standing(ledger, NOTHING_NEGATIVE, HOUR) == []


def test_an_hour_whose_verdict_no_longer_fits_what_stands_is_named_to_runs_on_others(ledger: Ledger) -> None:
    broken = Finding("minute 1", HOUR, None, 2, "values are wrong")
    findings.replace(ledger, NOTHING_NEGATIVE, ["minute 1"], [broken])
    changed = verdicts_elsewhere(ledger, "kpi_minute", NEXT_HOUR)
    assert [each.passed for each in changed[HOUR]] == [False]
    record(ledger, HOUR, changed[HOUR], "run")
    assert verdicts_elsewhere(ledger, "kpi_minute", NEXT_HOUR) == {}
    findings.replace(ledger, NOTHING_NEGATIVE, ["minute 1"], [])
    assert [each.passed for each in verdicts_elsewhere(ledger, "kpi_minute", NEXT_HOUR)[HOUR]] == [True]
    assert verdicts_elsewhere(ledger, "kpi_minute", HOUR) == {}


def test_a_column_that_somebody_added_is_found(settings: Settings) -> None:
    lake = Lake(settings)
    for table in lake.tables:
        table.create_if_missing()
    assert schema_as_declared(lake).passed
    lake.silver.delta().alter.add_columns([Field("coupon", PrimitiveType("string"))])
    verdict = schema_as_declared(lake)
    assert not verdict.passed
    assert "silver_events (coupon)" in verdict.summary
