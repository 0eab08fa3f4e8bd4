"""The detector's sensors: the same scorer, reported as the asset `alerts`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from ecom_lakehouse.defs import alerts
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.serving.webhook import Delivery
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.gold import MINUTE, alerts_of, reached, usual_minutes, write_gold

START = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.fixture
def watched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(alerts, "load_settings", lambda: settings)
    return settings


def tick() -> dg.SensorResult | dg.SkipReason:
    with dg.DagsterInstance.ephemeral() as instance:
        found = alerts.tick(dg.build_sensor_context(instance=instance))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_a_tick_reports_what_it_scored_as_the_asset_alerts(watched: Settings) -> None:
    minutes = usual_minutes(START, 240)
    for number in range(230, 240):
        minutes[START + number * MINUTE]["purchase"] = 0
    write_gold(watched, minutes)
    reached(watched, START + 240 * MINUTE + timedelta(seconds=5))
    result = tick()
    assert isinstance(result, dg.SensorResult)
    (event,) = result.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert event.asset_key == alerts.ALERTS
    assert event.metadata["minutes_scored"].value == 240
    assert event.metadata["alerts_critical"].value == 1
    assert " s" in str(event.metadata["slowest_step"].value)
    assert len(alerts_of(watched)) == 1


def test_a_tick_with_nothing_to_do_says_why(watched: Settings) -> None:
    result = tick()
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "No minute is closed yet."


def test_a_late_pipeline_is_told_though_the_scoring_fails(
    watched: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached(watched, datetime.now(UTC) - timedelta(hours=2))
    with connect(watched) as connection:
        connection.execute(
            "update serving.pipeline_watch set watched_at = now(), watching_since = now() - interval '1 hour'"
        )
        connection.execute("drop table serving.scored_minutes")
        connection.execute("drop table serving.detector_position cascade")
    delivered: list[Settings] = []

    def noted(settings: Settings) -> Delivery:
        delivered.append(settings)
        return Delivery()

    monkeypatch.setattr(alerts, "deliver", noted)
    with pytest.raises(psycopg.errors.UndefinedTable):
        tick()
    assert [row["rule_name"] for row in alerts_of(watched)] == ["pipeline_late_v1"]
    assert delivered == [watched]


def test_the_asset_hangs_on_kpi_minute_and_both_sensors_run_by_default() -> None:
    assert [dep.asset_key for dep in alerts.alerts.deps] == [dg.AssetKey("kpi_minute")]
    for sensor in (alerts.anomaly_detector, alerts.alerts_watch):
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
