"""The asset checks: what each asset promises of an hour so far, and the verdicts of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime

import dagster as dg
from dagster_shared.utils.warnings import PreviewWarning

from ecom_lakehouse.core import checks
from ecom_lakehouse.core.checks import Check
from ecom_lakehouse.defs.check_results import CheckResult, JudgedMaterialization, latest_materialization
from ecom_lakehouse.defs.partitions import hourly, partition_key
from ecom_lakehouse.lake.bronze import BronzeSlice
from ecom_lakehouse.lake.gold import GoldRefresh
from ecom_lakehouse.lake.ledger import Layer
from ecom_lakehouse.lake.quality.bronze import bronze_verdicts
from ecom_lakehouse.lake.quality.elsewhere import verdicts_elsewhere
from ecom_lakehouse.lake.quality.gold import gold_verdicts
from ecom_lakehouse.lake.quality.rules import rule_verdicts
from ecom_lakehouse.lake.quality.silver import silver_verdicts
from ecom_lakehouse.lake.quality.verdicts import Verdict, hold_broken, record, runbook_link
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import SilverSlice
from ecom_lakehouse.serving.webhook import enqueue
from ecom_lakehouse.settings import load_settings


def _specs(promised: Sequence[Check]) -> list[dg.AssetCheckSpec]:
    # Partitioned checks are in preview. They are wanted all the same: without a partition a check shows its last
    # verdict only, and a red hour is forgotten in the next.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            dg.AssetCheckSpec(
                each.name,
                asset=dg.AssetKey(each.asset),
                description=f"{each.meaning} When it fails: {each.what_to_do}",
                blocking=each.blocking,
                partitions_def=hourly,
                metadata={"runbook": _runbook(each)},
            )
            for each in promised
        ]


def _runbook(check: Check) -> dg.MetadataValue:
    link = runbook_link(load_settings(), check)
    return dg.MetadataValue.url(link) if "://" in link else dg.MetadataValue.path(link)


BRONZE_CHECKS = _specs(checks.BRONZE_CHECKS)
SILVER_CHECKS = _specs(checks.SILVER_CHECKS)
QUARANTINE_CHECKS = _specs(checks.QUARANTINE_CHECKS)
KPI_CHECKS = _specs(checks.KPI_CHECKS)


def on_bronze(
    instance: dg.DagsterInstance, session: WriterSession, hour: datetime, written: Sequence[BronzeSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Bronze of the hour so far; those that change on other hours are told to Dagster at once."""
    results = _given(
        session, hour, bronze_verdicts(session, hour, [each.slice for each in written]), "bronze"
    )
    _tell_other_hours(instance, session, hour, "bronze_events")
    return results


def on_quarantine(
    session: WriterSession, hour: datetime, written: Sequence[SilverSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Quarantine of the hour so far."""
    return _given(session, hour, rule_verdicts(session, hour, [each.slice for each in written]), "silver")


def on_silver(
    instance: dg.DagsterInstance, session: WriterSession, hour: datetime, written: Sequence[SilverSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Silver of the hour so far; those that change on other hours are told to Dagster at once."""
    results = _given(session, hour, silver_verdicts(session, hour, written), "silver")
    _tell_other_hours(instance, session, hour, "silver_events")
    return results


def on_gold(
    instance: dg.DagsterInstance, session: WriterSession, hour: datetime, refreshed: GoldRefresh
) -> list[dg.AssetCheckResult]:
    """Verdicts on Gold of the minutes that the hour wrote; those on other hours are told to Dagster at once."""
    results = _given(session, hour, gold_verdicts(session, hour, refreshed.minutes), "gold")
    _tell_other_hours(instance, session, hour, "kpi_minute")
    return results


def _given(
    session: WriterSession, hour: datetime, verdicts: Sequence[Verdict], layer: Layer
) -> list[dg.AssetCheckResult]:
    """Keeps the verdicts, holds what they block, tells the webhook what is new, and hands them to Dagster."""
    _announce(session, hour, record(session.ledger, hour, verdicts, session.run_id))
    hold_broken(session.ledger, verdicts, layer)
    judged = JudgedMaterialization()
    return [
        CheckResult(
            asset_key=dg.AssetKey(each.check.asset),
            check_name=each.check.name,
            passed=each.passed,
            severity=_severity(each),
            description=each.description,
            metadata=_metadata(each),
        ).of(judged)
        for each in verdicts
    ]


def _announce(session: WriterSession, hour: datetime, failing: Sequence[Verdict]) -> None:
    """One message for all checks of an asset that have begun to fail, once an hour for each."""
    if not failing:
        return
    asset = failing[0].check.asset
    names = ", ".join(each.check.name for each in failing)
    enqueue(
        session.ledger.connection,
        "failed_check",
        asset,
        f"{asset}, hour {hour:%Y-%m-%d %H}:00 UTC: {names}. {failing[0].description}",
        {
            "asset": asset,
            "hour": hour.isoformat(),
            "run_id": session.run_id,
            "checks": [
                {
                    "name": each.check.name,
                    "blocking": each.check.blocking,
                    "description": each.description,
                    "runbook": runbook_link(session.settings, each.check),
                }
                for each in failing
            ],
        },
        key=f"{asset}:{hour:%Y-%m-%dT%H}:{names}",
    )


def _tell_other_hours(
    instance: dg.DagsterInstance, session: WriterSession, hour: datetime, asset: str
) -> None:
    for other, verdicts in verdicts_elsewhere(session.ledger, asset, hour).items():
        _announce(session, other, record(session.ledger, other, verdicts, session.run_id))
        for each in verdicts:
            instance.report_runless_asset_event(_evaluation(instance, other, each))


def _evaluation(instance: dg.DagsterInstance, hour: datetime, verdict: Verdict) -> dg.AssetCheckEvaluation:
    asset_key = dg.AssetKey(verdict.check.asset)
    return dg.AssetCheckEvaluation(
        asset_key=asset_key,
        target_materialization_data=latest_materialization(instance, asset_key, partition_key(hour)),
        check_name=verdict.check.name,
        passed=verdict.passed,
        severity=_severity(verdict),
        description=verdict.description,
        metadata=_metadata(verdict),
        partition=partition_key(hour),
    )


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.WARN if verdict.severity == "warn" else dg.AssetCheckSeverity.ERROR


def _metadata(verdict: Verdict) -> dict[str, dg.MetadataValue | int | float | str]:
    metadata: dict[str, dg.MetadataValue | int | float | str] = {**verdict.facts}
    if not verdict.passed:
        metadata["runbook"] = _runbook(verdict.check)
    if verdict.samples:
        columns = [dg.TableColumn(name, "string") for name in verdict.samples[0]]
        metadata["samples"] = dg.MetadataValue.table(
            [dg.TableRecord(each) for each in verdict.samples], schema=dg.TableSchema(columns)
        )
    return metadata
