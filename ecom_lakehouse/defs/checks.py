"""The asset checks: what each asset promises of an hour so far, and the verdicts of a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from ecom_lakehouse.lake.bronze import BronzeSlice
from ecom_lakehouse.lake.gold import GoldRefresh
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import SilverSlice

BRONZE_CHECKS: list[dg.AssetCheckSpec] = []
SILVER_CHECKS: list[dg.AssetCheckSpec] = []
QUARANTINE_CHECKS: list[dg.AssetCheckSpec] = []
KPI_CHECKS: list[dg.AssetCheckSpec] = []


def on_bronze(
    session: WriterSession, hour: datetime, written: Sequence[BronzeSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Bronze of the hour so far."""
    return []


def on_silver(
    session: WriterSession, hour: datetime, written: Sequence[SilverSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Silver of the hour so far."""
    return []


def on_quarantine(
    session: WriterSession, hour: datetime, written: Sequence[SilverSlice]
) -> list[dg.AssetCheckResult]:
    """Verdicts on Quarantine of the hour so far."""
    return []


def on_gold(session: WriterSession, hour: datetime, refreshed: GoldRefresh) -> list[dg.AssetCheckResult]:
    """Verdicts on Gold of the minutes that the run wrote."""
    return []
