"""The job that both the sensor and a person start."""

from __future__ import annotations

import dagster as dg

from ecom_lakehouse.defs.assets import BRONZE, KPI_MINUTE, QUARANTINE, SILVER
from ecom_lakehouse.settings import load_settings

LIVE_PRIORITY = "10"
"""Priority of the sensor's runs in the queue; a backfill has 0 and waits for them."""

micro_batch = dg.define_asset_job(
    "micro_batch",
    selection=dg.AssetSelection.assets(BRONZE, SILVER, QUARANTINE, KPI_MINUTE),
    description=(
        "Kafka → Bronze → Silver and Quarantine → Gold for one hour of ingestion. Started by the sensor it "
        "finishes the slices of its tag; started by hand it rebuilds the hour's finished slices."
    ),
    run_tags={"dagster/max_runtime": str(load_settings().run_max_seconds)},
    executor_def=dg.in_process_executor,
)
