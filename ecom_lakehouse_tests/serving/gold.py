"""Gold and ledger as the pipeline would have left them, for tests of what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import psycopg

from ecom_lakehouse.core.kpis import kpi_values
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.settings import Settings

MINUTE = timedelta(minutes=1)
USUAL = {"click": 720, "add_to_cart": 180, "checkout": 70, "purchase": 30}


def usual_minutes(start: datetime, count: int, seed: int = 1) -> dict[datetime, dict[str, int]]:
    """Minutes of a shop at an even level: counts by event type, scattered by chance."""
    rng = np.random.default_rng(seed)
    return {
        start + number * MINUTE: {name: int(rng.poisson(mean)) for name, mean in USUAL.items()}
        for number in range(count)
    }


def write_gold(settings: Settings, minutes: Mapping[datetime, Mapping[str, int]]) -> None:
    """Puts minutes into Gold, all ten metrics; a value that differs gets the next revision."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "insert into serving.kpi_minute (window_start, metric, value) values (%s, %s, %s)"
            " on conflict (window_start, metric) do update set value = excluded.value,"
            " revision = kpi_minute.revision + 1, updated_at = now()"
            " where kpi_minute.value is distinct from excluded.value",
            [
                (minute, metric, value)
                for minute, counts in minutes.items()
                for metric, value in kpi_values(gold_counts(counts)).items()
            ],
        )


def gold_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """A minute's counts as the KPIs are computed from them; every purchase is of 40."""
    by_metric = {f"events_{name}": counts.get(name, 0) for name in USUAL}
    return {"events_total": sum(counts.values()), **by_metric, "revenue": 40 * counts.get("purchase", 0)}


def reached(settings: Settings, at: datetime) -> None:
    """Says that all that Kafka held at a time has reached Gold."""
    with connect(settings) as connection:
        connection.execute(
            "update lake.looks set caught_up_at = %s, looked_at = now(), last_slice_id = 0", (at,)
        )


def alerts_of(settings: Settings) -> list[dict[str, object]]:
    """All alerts, the oldest incident first."""
    with connect(settings) as connection:
        return connection.execute("select * from serving.alerts order by window_start, alert_id").fetchall()


def scores_of(connection: psycopg.Connection[dict[str, object]]) -> list[dict[str, object]]:
    """Every verdict that is stored, in order."""
    return connection.execute(
        "select metric, window_start, value, score, severity, times from serving.scored_minutes"
        " order by window_start, metric"
    ).fetchall()
