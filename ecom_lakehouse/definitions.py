"""Everything that Dagster runs, in one object."""

import dagster as dg

from ecom_lakehouse.defs.alerts import alerts, alerts_watch, anomaly_detector
from ecom_lakehouse.defs.assets import bronze_events, kafka_topic, kpi_minute, silver_and_quarantine
from ecom_lakehouse.defs.jobs import micro_batch
from ecom_lakehouse.defs.maintenance import hourly_maintenance, lake_maintenance
from ecom_lakehouse.defs.resources import writer_of
from ecom_lakehouse.defs.sensors import kafka_micro_batches
from ecom_lakehouse.settings import load_settings

defs = dg.Definitions(
    assets=[kafka_topic, bronze_events, silver_and_quarantine, kpi_minute, alerts],
    jobs=[micro_batch, lake_maintenance],
    schedules=[hourly_maintenance],
    sensors=[kafka_micro_batches, anomaly_detector, alerts_watch],
    resources={"writer": writer_of(load_settings())},
    executor=dg.in_process_executor,
)
