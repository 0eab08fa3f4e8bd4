"""The ways to repair an hour, by the very runs that a person starts in the UI."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecom_lakehouse.core import judgement
from ecom_lakehouse.core.evidence import Answers, Evidence
from ecom_lakehouse.core.rules import RULES
from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.lake.ledger import Slice
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.pipeline import Pipeline, event, message, minute_ago, partition_key

Produce = Callable[..., None]
FROM_SILVER_ON = [dg.AssetKey(name) for name in ("silver_events", "quarantine_events", "kpi_minute")]
PRODUCT = "product_id_required_for_click_or_cart"


@pytest.fixture
def pipeline(settings: Settings, topic: str) -> Iterator[Pipeline]:
    """A pipeline with nothing in it."""
    pipeline = Pipeline(settings)
    yield pipeline
    pipeline.close()


def send(produce: Produce, pipeline: Pipeline, *events: dict[str, Any] | bytes) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events])


def change_rule(patch: pytest.MonkeyPatch, code: str, broken: Callable[[Evidence, Answers], Answers]) -> None:
    """A release that changes one rule: `broken` gets the evidence and the old answer."""

    def changed(old: Callable[[Evidence], Answers]) -> Callable[[Evidence], Answers]:
        return lambda evidence: broken(evidence, old(evidence))

    rules = tuple(
        dataclasses.replace(rule, broken=changed(rule.broken)) if rule.code == code else rule
        for rule in RULES
    )
    patch.setattr(judgement, "RULES", rules)


def in_the_hour_before(pipeline: Pipeline, slices: Sequence[Slice]) -> datetime:
    """Moves slices that are only planned into the hour before, as if it had been then."""
    hour = slices[0].hour - timedelta(hours=1)
    for each in slices:
        pipeline.ledger.connection.execute(
            "update lake.slices set planned_hour = %s where slice_id = %s", (hour, each.slice_id)
        )
    return hour


def verdict(pipeline: Pipeline, hour: datetime, check: str) -> bool:
    row = pipeline.ledger.connection.execute(
        "select passed from lake.checks where planned_hour = %s and check_name = %s", (hour, check)
    ).fetchone()
    assert row is not None
    return bool(row["passed"])


def told_dagster(pipeline: Pipeline, check: str) -> list[tuple[str | None, bool]]:
    """Partition and verdict of every evaluation that Dagster keeps of a check, oldest first."""
    records = pipeline.instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION), ascending=True
    )
    evaluations = [
        each.event_log_entry.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
        for each in records
    ]
    return [(each.partition, each.passed) for each in evaluations if each.check_name == check]


def test_a_rule_relaxed_moves_rows_from_quarantine_to_silver_and_into_the_kpis(
    pipeline: Pipeline, produce: Produce
) -> None:
    at = minute_ago(2)
    send(produce, pipeline, event(event_time=at), *[event(product_id=None, event_time=at) for _ in range(12)])
    (first,) = pipeline.ingest()
    assert not verdict(pipeline, first.hour, PRODUCT)
    assert pipeline.kpi("events_click") == 1
    with pytest.MonkeyPatch.context() as patch:
        change_rule(patch, PRODUCT, lambda _evidence, old: old & False)
        pipeline.rebuild(first.hour, FROM_SILVER_ON)
    assert len(pipeline.rows("silver")) == 13
    assert pipeline.rows("quarantine") == []
    assert pipeline.kpi("events_click") == 13
    assert verdict(pipeline, first.hour, PRODUCT)
    assert audit(pipeline.settings).passed


def test_a_rule_tightened_moves_rows_to_quarantine_and_names_the_hours_of_their_duplicates(
    pipeline: Pipeline, produce: Produce
) -> None:
    no_usd = event("purchase", currency="USD", event_time=minute_ago(2))
    code = "purchase_requires_order_qty_price_currency"
    send(produce, pipeline, no_usd, event())
    slices = pipeline.plan()
    earlier = in_the_hour_before(pipeline, slices)
    pipeline.run([pipeline.ledger.slice(slices[0].slice_id)])
    send(produce, pipeline, no_usd, event())
    (later,) = pipeline.ingest()
    assert len(pipeline.rows("silver")) == 3
    with pytest.MonkeyPatch.context() as patch:
        change_rule(patch, code, lambda evidence, old: old | evidence.is_one_of("currency", "USD"))
        pipeline.rebuild(earlier, FROM_SILVER_ON)
        assert pipeline.kpi("events_purchase") == 0
        assert not verdict(pipeline, later.hour, "duplicates_have_accepted_copy")
        assert verdict(pipeline, earlier, "duplicates_have_accepted_copy")
        assert (partition_key(later.hour), False) in told_dagster(pipeline, "duplicates_have_accepted_copy")
        assert later.hour in audit(pipeline.settings).rebuild_hours
        pipeline.rebuild(later.hour, FROM_SILVER_ON)
    assert verdict(pipeline, later.hour, "duplicates_have_accepted_copy")
    assert len(pipeline.rows("quarantine")) == 2
    assert audit(pipeline.settings).passed


def test_a_producer_sends_corrected_events_again_and_nothing_counts_twice(
    pipeline: Pipeline, produce: Produce
) -> None:
    at = minute_ago(3)
    wrong = [event("purchase", price=-1, event_time=at) for _ in range(3)]
    good = event("purchase", event_time=at)
    send(produce, pipeline, good, *wrong)
    pipeline.ingest()
    send(produce, pipeline, good, *[each | {"price": 10} for each in wrong])
    pipeline.ingest()
    assert pipeline.kpi("events_purchase") == 4
    assert pipeline.kpi("revenue") == 3 * 2 * 10 + Decimal("39.98")
    assert audit(pipeline.settings).passed


def test_an_hour_of_bronze_lost_on_disk_is_written_again_from_kafka(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event("purchase"), b"{")
    (first,) = pipeline.ingest()
    before = {table: pipeline.rows(table) for table in ("bronze", "silver")}
    folder = (
        Path(pipeline.lake.bronze.uri)
        / f"ingest_date={first.hour:%Y-%m-%d}"
        / f"ingest_hour={first.hour.hour}"
    )
    lost = list(folder.glob("*.parquet"))
    assert lost
    for file in lost:
        file.unlink()
    pipeline.rebuild(first.hour)
    assert {table: pipeline.rows(table) for table in before} == before
    assert audit(pipeline.settings).passed


def test_ids_that_are_other_events_by_the_contract_hold_no_slice_of_a_run_on_both(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(300)))
    (first,) = pipeline.ingest()
    pipeline.ledger.connection.execute("update lake.slices set planned_at = planned_at - interval '3 hours'")
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(1)))
    pipeline.ingest()
    pipeline.ledger.connection.execute("update lake.slices set planned_hour = %s", (first.hour,))
    pipeline.rebuild(first.hour, FROM_SILVER_ON)
    assert len(pipeline.rows("silver")) == 2
    assert audit(pipeline.settings).passed
