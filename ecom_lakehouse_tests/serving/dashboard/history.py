"""Days of a shop's life in the real tables: KPIs, ledger, checks, alerts and broken messages."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
from deltalake import write_deltalake

from ecom_lakehouse.core.contract import FIELD_NAMES, Limits
from ecom_lakehouse.core.judgement import broken_rules_of_typed
from ecom_lakehouse.core.kpis import kpi_values
from ecom_lakehouse.core.parse import parse_events
from ecom_lakehouse.core.scenarios import Scenario, scenario
from ecom_lakehouse.generator.stream import EventStream
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import GeneratorSettings, Settings

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
AOV = 58.0
RULES = {
    "unsupported_event_version": 0.012,
    "product_id_required_for_click_or_cart": 0.014,
    "add_to_cart_requires_qty_price_currency": 0.021,
    "purchase_requires_product_id": 0.0004,
    "purchase_requires_order_qty_price_currency": 0.004,
}
CHECKED = {"add_to_cart_requires_qty_price_currency": "warn", "unsupported_event_version": "warn"}
SAMPLES = 60
RULE = "seasonal_residual_v1"
SCORED = ("events_total", "events_purchase", "revenue", "purchase_conversion", "add_to_cart_rate")
BANDS_OF = timedelta(hours=4)


def fill(settings: Settings, now: datetime, days: float, events_per_second: float = 20.0) -> Scenario:
    """A shop's last `days`, up to the minute before `now`, and what the pipeline would have kept of them."""
    now = now.replace(second=0, microsecond=0)
    start = now - timedelta(days=days)
    shop = scenario(
        "conversion_collapse",
        seed=7,
        start=now - timedelta(minutes=95),
        end=now - timedelta(minutes=15),
        events_per_second=events_per_second,
    )
    with connect(settings) as connection:
        _topic(connection)
        _kpis(connection, shop, start, now)
        _slices(connection, shop, max(start, now - timedelta(days=2)), now)
        _alerts(connection, shop, now)
        _bands(connection, now)
    _quarantine(settings, now)
    return shop


def add_minute(settings: Settings, minute: datetime, **counts: float) -> None:
    """One more minute of KPIs, or other values for one that is there."""
    sums = {
        name: counts.get(name, 0)
        for name in ("events_total", "events_click", "events_add_to_cart", "events_checkout")
    } | {"events_purchase": counts.get("events_purchase", 0), "revenue": counts.get("revenue", 0)}
    with connect(settings) as connection:
        for metric, value in kpi_values(sums).items():
            connection.execute(
                "insert into serving.kpi_minute (window_start, metric, value) values (%s, %s, %s) "
                "on conflict (window_start, metric) do update set value = excluded.value, updated_at = now()",
                (minute, metric, value),
            )


def caught_up(settings: Settings, at: datetime) -> None:
    """Says that the topic held nothing more at that time."""
    with connect(settings) as connection:
        connection.execute("update lake.looks set caught_up_at = %s, looked_at = %s", (at, at))


def _topic(connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into lake.topics (topic_id, cluster_id, topic) values ('t', 'c', 'events')")


def _minutes(shop: Scenario, start: datetime, end: datetime) -> Iterator[tuple[datetime, dict[str, Any]]]:
    dice = random.Random(3)
    minute = start
    while minute < end:
        counts: dict[str, Any] = {}
        for name, rate in shop.rates_at(minute).items():
            mean = rate * 60
            counts[f"events_{name}"] = max(round(dice.gauss(mean, mean**0.5)), 0)
        counts["events_total"] = sum(counts.values())
        counts["revenue"] = round(counts["events_purchase"] * dice.gauss(AOV, 6), 2)
        yield minute, counts
        minute += MINUTE


def _kpis(connection: psycopg.Connection[Any], shop: Scenario, start: datetime, now: datetime) -> None:
    copy = "copy serving.kpi_minute (window_start, metric, value) from stdin"
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for minute, counts in _minutes(shop, start, now):
            for metric, value in kpi_values({**counts, "revenue": str(counts["revenue"])}).items():
                rows.write_row((minute, metric, value))


def _slices(connection: psycopg.Connection[Any], shop: Scenario, start: datetime, now: datetime) -> None:
    dice = random.Random(5)
    offset = 0
    planned = start + MINUTE
    number = 0
    broken_rows: list[tuple[int, str, int]] = []
    slices, ranges = [], []
    while planned <= now:
        number += 1
        messages = round(sum(shop.rates_at(planned - MINUTE).values()) * 60) or 1
        broken = {code: round(messages * share * dice.uniform(0.6, 1.5)) for code, share in RULES.items()}
        quarantined, duplicates = sum(broken.values()), round(messages * 0.02)
        seconds = [dice.uniform(0.5, 1.1), dice.uniform(0.9, 1.9), dice.uniform(0.1, 0.4)]
        done = [planned + timedelta(seconds=3 + sum(seconds[: place + 1])) for place in range(3)]
        rows = (messages, messages * 310, messages - quarantined - duplicates, quarantined, duplicates)
        slices.append(
            (
                *(number, "t", planned, planned.replace(minute=0), True, None, 1, f"run-{number}"),
                *done,
                *seconds,
                *rows,
                *(round(messages * 0.05), 6),
            )
        )
        ranges.append((number, "t", 0, offset, offset + messages, offset or None))
        offset += messages
        broken_rows += [(number, code, count) for code, count in broken.items() if count]
        planned += MINUTE
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into lake.slices (slice_id, topic_id, planned_at, planned_hour, reaches_end, next_layer, attempts, "
            "run_id, bronze_at, silver_at, gold_at, bronze_seconds, silver_seconds, gold_seconds, bronze_rows, "
            "bronze_bytes, silver_rows, quarantine_rows, duplicate_rows, late_rows, gold_minutes) values ("
            + ", ".join(["%s"] * 21)
            + ")",
            slices,
        )
        cursor.executemany(
            "insert into lake.slice_ranges (slice_id, topic_id, kafka_partition, start_offset, end_offset, follows) "
            "values (%s, %s, %s, %s, %s, %s)",
            ranges,
        )
        cursor.executemany(
            "insert into lake.slice_rules (slice_id, code, rows) values (%s, %s, %s)", broken_rows
        )
    connection.execute(
        "insert into lake.topic_progress values ('t', 0, 0, %s, %s, %s)", (offset + 240, offset, now)
    )
    connection.execute("update lake.looks set looked_at = %s, last_slice_id = %s", (now, number))
    hour = now.replace(minute=0)
    for place in range(min(20, int((now - start) / HOUR))):
        for code in RULES:
            connection.execute(
                "insert into lake.checks (planned_hour, asset, check_name, passed, severity, blocking, description) "
                "values (%s, 'quarantine_events', %s, %s, 'warn', false, %s)",
                (
                    hour - place * HOUR,
                    code,
                    not (place < 2 and code in CHECKED),
                    f"{code}: 2.1 % of the hour's messages",
                ),
            )


def _bands(connection: psycopg.Connection[Any], now: datetime) -> None:
    """Verdicts of the last hours: about what the hour before the last would let one expect."""
    connection.execute(
        "insert into serving.detector_position (rule_name, first_minute, next_minute, alerts_from, parameters) "
        "values (%s, %s, %s, %s, '{}')",
        (RULE, now - BANDS_OF, now, now),
    )
    connection.execute(
        """
        insert into serving.scored_minutes (rule_name, metric, window_start, value, baseline, lower, upper, score,
                                            severity, reason)
        select %(rule)s, k.metric, k.window_start, k.value, usual.mean, greatest(usual.mean - usual.room, 0),
               usual.mean + usual.room, 0.2, 'none', 'ordinary'
        from serving.kpi_minute k, lateral (
            select avg(value) as mean, 3.2 * stddev(value) as room from serving.kpi_minute before
            where before.metric = k.metric and before.window_start < k.window_start - interval '2 hours'
              and before.window_start >= k.window_start - interval '3 hours'
        ) usual
        where k.window_start >= %(since)s and k.metric = any(%(metrics)s) and usual.room is not null
        """,
        {"rule": RULE, "since": now - BANDS_OF, "metrics": list(SCORED)},
    )


def _alerts(connection: psycopg.Connection[Any], shop: Scenario, now: datetime) -> None:
    (fault,) = shop.truth()
    alerts = [
        (
            "conversion-1",
            fault.start + 2 * MINUTE,
            fault.end,
            "purchase_conversion",
            0.004,
            0.041,
            "critical",
            "open",
        ),
        (
            "purchases-1",
            fault.start + 3 * MINUTE,
            fault.end,
            "events_purchase",
            2,
            21,
            "critical",
            "resolved",
        ),
        (
            "events-1",
            now - 9 * HOUR,
            now - 9 * HOUR + 8 * MINUTE,
            "events_total",
            2100,
            1240,
            "warn",
            "resolved",
        ),
        (
            "revenue-1",
            now - 31 * HOUR,
            now - 31 * HOUR + 5 * MINUTE,
            "revenue",
            240,
            1160,
            "warn",
            "retracted",
        ),
    ]
    for name, start, end, metric, value, baseline, severity, state in alerts:
        connection.execute(
            "insert into serving.alerts (alert_id, created_at, window_start, last_window, metric, value, baseline, "
            "score, severity, state, rule_name, resolved_at, retracted_at, details) "
            "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                name,
                start + 2 * MINUTE,
                start,
                end,
                metric,
                value,
                baseline,
                0.97,
                severity,
                state,
                RULE,
                end if state == "resolved" else None,
                end if state == "retracted" else None,
                json.dumps({"reason": f"{metric} is {value:g} where {baseline:g} was expected."}),
            ),
        )


def _quarantine(settings: Settings, now: datetime) -> None:
    """Broken messages of the newest slice, judged by the platform's own rules."""
    table = Lake(settings).quarantine
    table.create_if_missing()
    stream = EventStream(GeneratorSettings(_env_file=None, invalid_rate=1, late_rate=0))
    messages = [stream.message(int(now.timestamp() * 1000)) for _ in range(SAMPLES)]
    texts = pa.array([message.value.decode() for message in messages])
    typed = parse_events(texts).columns
    with connect(settings) as connection:
        newest = connection.execute("select max(slice_id) as id from lake.slices").fetchone()
    assert newest is not None
    columns: dict[str, Any] = {name: typed[name] for name in FIELD_NAMES}
    columns["kafka_timestamp"] = pa.array([now] * SAMPLES, pa.timestamp("us", "UTC"))
    limits = Limits(future=timedelta(minutes=5), age=timedelta(days=365))
    columns |= {
        "validation_errors": broken_rules_of_typed(pa.table(columns), limits),
        "raw_json": texts,
        "processing_time": pa.array([datetime.now(UTC)] * SAMPLES, pa.timestamp("us", "UTC")),
        "kafka_topic": pa.array(["ecom.events.raw.v1"] * SAMPLES),
        "kafka_partition": pa.array([0] * SAMPLES, pa.int32()),
        "kafka_offset": pa.array(range(120_000, 120_000 + SAMPLES)),
        "kafka_key": pa.array([message.key.decode() for message in messages]),
        "slice_id": pa.array([newest["id"]] * SAMPLES),
        "ingest_date": pa.array([now.date()] * SAMPLES),
        "ingest_hour": pa.array([now.hour] * SAMPLES, pa.int32()),
    }
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(SAMPLES, field.type)
        for field in table.arrow_schema
    ]
    rows = pa.table(
        [array.cast(field.type) for array, field in zip(arrays, table.arrow_schema, strict=True)],
        schema=table.arrow_schema,
    )
    write_deltalake(table.uri, rows, mode="append")
