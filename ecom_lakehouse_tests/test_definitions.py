"""What Dagster is told there is: pinned, so that nothing comes or goes unnoticed."""

from __future__ import annotations

import pytest

from ecom_lakehouse.core import checks
from ecom_lakehouse.settings import load_settings

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("LAKEHOUSE_START_HOUR", "2026-01-01T00:00:00Z")
    load_settings.cache_clear()
    from ecom_lakehouse.definitions import defs
load_settings.cache_clear()

REPOSITORY = defs.get_repository_def()


def test_the_assets_are_these() -> None:
    keys = {key.to_user_string() for key in REPOSITORY.asset_graph.get_all_asset_keys()}
    assert keys == {
        "kafka_topic",
        "bronze_events",
        "silver_events",
        "quarantine_events",
        "kpi_minute",
        "alerts",
    }


def test_the_checks_are_those_of_the_catalogue() -> None:
    keys = {(key.asset_key.to_user_string(), key.name) for key in REPOSITORY.asset_graph.asset_check_keys}
    assert keys == {(each.asset, each.name) for each in checks.CHECKS}


def test_the_jobs_sensors_and_schedules_are_these() -> None:
    assert {job.name for job in REPOSITORY.get_all_jobs()} == {
        "__ASSET_JOB",
        "micro_batch",
        "lake_maintenance",
    }
    assert {sensor.name for sensor in REPOSITORY.sensor_defs} == {
        "kafka_micro_batches",
        "anomaly_detector",
        "alerts_watch",
    }
    assert {schedule.name for schedule in REPOSITORY.schedule_defs} == {"hourly_maintenance"}


def test_every_sensor_runs_by_default() -> None:
    assert {sensor.default_status.value for sensor in REPOSITORY.sensor_defs} == {"RUNNING"}


def test_each_asset_explains_itself() -> None:
    for node in REPOSITORY.asset_graph.asset_nodes:
        assert node.description, node.key
        assert node.owners, node.key
        assert node.kinds, node.key
