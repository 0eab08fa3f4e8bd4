"""The asset checks on the real pipeline: each is made to pass and made to fail, through the assets themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from deltalake import write_deltalake

from ecom_lakehouse.core.checks import CHECKS, KPI_CHECKS, QUARANTINE_CHECKS
from ecom_lakehouse.core.rules import CODES
from ecom_lakehouse.settings import PROJECT_ROOT
from ecom_lakehouse_tests.pipeline import ASSETS, Pipeline, event, iso, message, minute_ago, partition_key

Produce = Callable[..., None]
BRONZE, SILVER, QUARANTINE, KPI = (
    dg.AssetKey(name) for name in ("bronze_events", "silver_events", "quarantine_events", "kpi_minute")
)

BREAKS: dict[str, dict[str, Any] | bytes | None] = {
    "empty_message": b" ",
    "malformed_json": b"{",
    "missing_event_id": event(event_id=None),
    "unsupported_event_version": event(event_version=2),
    "invalid_event_type": event(event_type="view"),
    "missing_user_id": event(user_id=""),
    "missing_session_id": event(session_id=None),
    "bad_ingest_time": event(ingest_time="2026-01-31 12:00:00"),
    "bad_event_time": event(event_time="2026-01-31T12:00:00"),
    "event_time_in_future": event(event_time=iso(datetime.now(UTC) + timedelta(hours=1))),
    "event_time_too_old": event(event_time=iso(datetime.now(UTC) - timedelta(days=400))),
    "product_id_required_for_click_or_cart": event(product_id=None),
    "add_to_cart_requires_qty_price_currency": event("add_to_cart", quantity=0),
    "purchase_requires_product_id": event("purchase", product_id=None),
    "purchase_requires_order_qty_price_currency": event("purchase", price=-1),
}
"""For each rule a message that breaks it alone."""


def send(produce: Produce, pipeline: Pipeline, *events: dict[str, Any] | bytes | None) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events])


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """What a run said, by check."""
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def kept(pipeline: Pipeline, hour: datetime) -> dict[str, dict[str, Any]]:
    """The verdicts on an hour that are kept for readers without Dagster, by check."""
    rows = pipeline.ledger.connection.execute("select * from lake.checks where planned_hour = %s", (hour,))
    return {row["check_name"]: dict(row) for row in rows}


def failing(found: dict[str, dg.AssetCheckEvaluation]) -> set[str]:
    return {name for name, each in found.items() if not each.passed}


def test_every_check_gives_a_verdict_on_each_run_and_passes_when_all_is_well(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event("add_to_cart"), event("checkout"), event("purchase"))
    (first,) = pipeline.plan()
    found = verdicts(pipeline.run([first]))
    assert set(found) == {each.name for each in CHECKS}
    assert failing(found) == set()
    assert all(each["passed"] for each in kept(pipeline, first.hour).values())
    assert len(kept(pipeline, first.hour)) == len(CHECKS)
    for each in found.values():
        # Dagster shows a verdict on a partition only where it is on the partition's latest materialisation.
        (latest,) = pipeline.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=each.asset_key, asset_partitions=[partition_key(first.hour)]),
            limit=1,
        ).records
        assert each.target_materialization_data is not None
        assert each.target_materialization_data.storage_id == latest.storage_id


def test_every_rule_turns_its_own_check_red_and_no_other(pipeline: Pipeline, produce: Produce) -> None:
    assert set(BREAKS) == set(CODES)
    send(produce, pipeline, *(each for each in BREAKS.values() for _ in range(12)))
    (first,) = pipeline.plan()
    found = verdicts(pipeline.run([first]))
    assert failing(found) == set(CODES)
    for check in QUARANTINE_CHECKS:
        facts = found[check.name].metadata
        assert facts["rows"].value == 12, check.name
        assert len(facts["samples"].value.records) == 10
        assert check.what_to_do in (found[check.name].description or "")
        assert facts["runbook"].value.endswith(f"docs/runbook.md#{check.name}")
    sample = found["malformed_json"].metadata["samples"].value.records[0].data
    assert sample["raw"] == "{"
    assert sample["codes"] == "malformed_json"
    assert "partition" in found["malformed_json"].metadata["first"].value


def test_a_rule_stays_red_for_its_hour_though_the_next_batch_is_clean(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, *[b"{"] * 12)
    (first,) = pipeline.ingest()
    send(produce, pipeline, event())
    (second,) = pipeline.plan()
    found = verdicts(pipeline.run([second]))
    assert failing(found) == {"malformed_json"}
    assert found["malformed_json"].metadata["rows"].value == 12
    assert kept(pipeline, first.hour)["malformed_json"]["severity"] == "error"
    messages = pipeline.ledger.connection.execute("select kind, subject, text from serving.outbox").fetchall()
    assert [(each["kind"], each["subject"]) for each in messages] == [("failed_check", "quarantine_events")]
    assert "malformed_json" in messages[0]["text"]


def test_a_few_bad_messages_alarm_nobody(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), *[b"{"] * 3)
    assert failing(verdicts(pipeline.run(pipeline.plan()))) == set()


def test_lost_offsets_fail_their_hour_and_do_not_block(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    part = first.ranges[0]
    pipeline.ledger.connection.execute(
        "insert into lake.lost_offsets (slice_id, kafka_partition, start_offset, end_offset)"
        " values (%s, %s, 0, 5)",
        (first.slice_id, part.partition),
    )
    found = verdicts(pipeline.run([first]))
    assert failing(found) == {"no_offsets_lost"}
    assert "5 offsets" in (found["no_offsets_lost"].description or "")
    assert len(pipeline.rows("silver")) == 1


def test_a_gap_between_ranges_fails(pipeline: Pipeline, produce: Produce) -> None:
    """The ledger's foreign key leaves no room for gaps: it must be taken away first."""
    send(produce, pipeline, event())
    (first,) = pipeline.ingest()
    connection = pipeline.ledger.connection
    connection.execute(
        "alter table lake.slice_ranges drop constraint slice_ranges_topic_id_kafka_partition_follows_fkey"
    )
    connection.execute("update lake.slice_ranges set end_offset = end_offset + 7")
    produce(pipeline.settings.topic, [message(event())] * 20, partition=first.ranges[0].partition)
    (second,) = pipeline.plan()
    connection.execute(
        "update lake.slice_ranges set end_offset = end_offset - 7 where slice_id = %s", (first.slice_id,)
    )
    found = verdicts(pipeline.run([second]))
    assert "offsets_contiguous" in failing(found)


def test_a_coordinate_stored_twice_holds_the_slice_and_a_release_writes_it_again(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    with monkeypatch.context() as patch:
        twice_after(patch, pipeline, "bronze")
        found = verdicts(pipeline.run([first], fails=True))
    assert failing(found) == {"coordinates_unique"}
    (held,) = pipeline.ledger.unfinished()
    assert held.next_layer == "bronze"
    assert "coordinates_unique" in (held.held_reason or "")
    assert pipeline.rows("silver") == []
    pipeline.ledger.release(first.slice_id)
    pipeline.finish()
    assert len(pipeline.rows("bronze")) == len(pipeline.rows("silver")) == 1
    assert kept(pipeline, first.hour)["coordinates_unique"]["passed"]


def test_rows_outside_the_planned_ranges_are_held(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    with monkeypatch.context() as patch:
        after_write(patch, "bronze", lambda: move(pipeline, "bronze", kafka_offset=1000))
        found = verdicts(pipeline.run([first], fails=True))
    assert "rows_inside_ranges" in failing(found)
    assert pipeline.ledger.unfinished()[0].held_reason


def test_a_row_twice_in_silver_is_held_before_gold(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event("purchase"))
    (first,) = pipeline.plan()
    with monkeypatch.context() as patch:
        after_write(patch, "silver", lambda: append_again(pipeline, "silver"))
        found = verdicts(pipeline.run([first], fails=True))
    assert {"accounting", "event_id_unique"} <= failing(found)
    assert pipeline.kpis() == {}
    pipeline.ledger.release(first.slice_id)
    pipeline.finish()
    assert failing_kept(pipeline, first.hour) == set()
    assert pipeline.kpi("events_purchase") == 1


def test_a_broken_row_in_silver_is_found_and_held(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event("purchase"))
    (first,) = pipeline.plan()
    with monkeypatch.context() as patch:
        after_write(patch, "silver", lambda: move(pipeline, "silver", quantity=-1))
        found = verdicts(pipeline.run([first], fails=True))
    assert failing(found) == {"no_rule_broken"}
    assert "purchase_requires_order_qty_price_currency" in (found["no_rule_broken"].description or "")


def test_many_late_and_repeated_messages_warn(pipeline: Pipeline, produce: Produce) -> None:
    again = event()
    late = [event(event_time=minute_ago(30)) for _ in range(60)]
    send(produce, pipeline, *late, *[again] * 61)
    found = verdicts(pipeline.run(pipeline.plan()))
    assert failing(found) == {"late_share", "duplicate_share"}
    assert found["late_share"].severity is dg.AssetCheckSeverity.WARN


def test_wrong_numbers_in_gold_are_found_where_they_are_written(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event(), event("purchase", event_time=minute_ago(3)))
    (first,) = pipeline.plan()
    spoil = (
        "update serving.kpi_minute set value = -value - 1 where metric = 'revenue';"
        " update serving.kpi_minute set value = 7 where metric = 'checkout_rate';"
        " delete from serving.kpi_minute where metric = 'aov'"
    )
    with monkeypatch.context() as patch:
        after_write(patch, "gold", lambda: pipeline.ledger.connection.execute(spoil))
        found = verdicts(pipeline.run([first]))
    assert failing(found) == {each.name for each in KPI_CHECKS} - {"fresh"}
    pipeline.rebuild(first.hour, [KPI])
    assert failing_kept(pipeline, first.hour) == set()


def test_a_minute_mended_by_another_hour_turns_green_where_it_was_red(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = minute_ago(3)
    send(produce, pipeline, event(event_time=at))
    (first,) = pipeline.plan()
    earlier = first.hour - timedelta(hours=1)
    connection = pipeline.ledger.connection
    connection.execute("update lake.slices set planned_hour = %s", (earlier,))
    with monkeypatch.context() as patch:
        after_write(patch, "gold", lambda: connection.execute("update serving.kpi_minute set value = -1"))
        pipeline.run([pipeline.ledger.slice(first.slice_id)])
    assert "nothing_negative" in failing_kept(pipeline, earlier)
    send(produce, pipeline, event(event_time=at))
    pipeline.ingest()
    assert failing_kept(pipeline, earlier) == set()
    records = pipeline.instance.event_log_storage.get_event_records(
        dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION), ascending=True
    )
    told = [each.event_log_entry.dagster_event.asset_check_evaluation_data for each in records]
    assert [each.passed for each in told if each.check_name == "nothing_negative"] == [False, True, True]
    assert [each.partition for each in told if each.check_name == "nothing_negative"][1] == partition_key(
        earlier
    )


def test_what_is_served_late_is_said_to_be_stale(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    pipeline.ledger.connection.execute(
        "update lake.slices set planned_at = planned_at - interval '10 minutes'"
    )
    found = verdicts(pipeline.run([first]))
    assert failing(found) == {"fresh"}
    assert found["fresh"].severity is dg.AssetCheckSeverity.WARN


def test_every_check_has_a_section_in_the_runbook() -> None:
    headings = {
        line.lstrip("# ").strip()
        for line in (PROJECT_ROOT / "docs" / "runbook.md").read_text().splitlines()
        if line.startswith("#")
    }
    assert {each.name for each in CHECKS} <= headings


def test_the_assets_declare_every_check_of_the_catalogue_and_block_where_it_says_so() -> None:
    declared = {
        spec.name: spec
        for asset in ASSETS
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.check_specs
    }
    assert {name: spec.blocking for name, spec in declared.items()} == {
        each.name: each.blocking for each in CHECKS
    }
    assert all(spec.partitions_def is not None for spec in declared.values())


def failing_kept(pipeline: Pipeline, hour: datetime) -> set[str]:
    return {name for name, row in kept(pipeline, hour).items() if not row["passed"]}


def after_write(patch: pytest.MonkeyPatch, layer: str, spoil: Callable[[], object]) -> None:
    """Spoils what a layer holds after it was written and marked, and before it is checked."""
    from ecom_lakehouse.defs import assets

    name = {"bronze": "write_bronze", "silver": "write_silver", "gold": "refresh_gold"}[layer]
    write = getattr(assets, name)

    def spoiled(*arguments: Any) -> Any:
        written = write(*arguments)
        spoil()
        return written

    patch.setattr(assets, name, spoiled)


def twice_after(patch: pytest.MonkeyPatch, pipeline: Pipeline, layer: str) -> None:
    after_write(patch, layer, lambda: append_again(pipeline, layer))


def append_again(pipeline: Pipeline, table: str) -> None:
    """Appends what a table holds to it once more, as a writer without guards would."""
    stored = getattr(pipeline.lake, table)
    write_deltalake(stored.delta(), stored.arrow(), mode="append")


def move(pipeline: Pipeline, table: str, **values: int) -> None:
    """Changes columns of all rows behind the platform's back."""
    getattr(pipeline.lake, table).delta().update({name: str(value) for name, value in values.items()})


def test_a_new_field_is_named_with_its_share(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event(), event(), event(coupon="SPRING"))
    (first,) = pipeline.plan()
    found = verdicts(pipeline.run([first]))
    assert failing(found) == {"fields_as_in_contract"}
    assert "new field coupon (25.00%)" in (found["fields_as_in_contract"].description or "")


def test_fields_of_another_type_warn_when_they_are_many(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, *[event("purchase", quantity="2") for _ in range(12)])
    found = verdicts(pipeline.run(pipeline.plan()))
    assert "fields_as_in_contract" in failing(found)
    assert "quantity came as string" in (found["fields_as_in_contract"].description or "")


def test_two_currencies_in_an_hour_fail_though_each_batch_had_one(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event("purchase"))
    assert failing(verdicts(pipeline.run(pipeline.plan()))) == set()
    send(produce, pipeline, event("purchase", currency="USD"))
    found = verdicts(pipeline.run(pipeline.plan()))
    assert failing(found) == {"one_currency"}
    assert "EUR 1" in (found["one_currency"].description or "")


def test_a_materialisation_shows_the_profile_of_its_hour(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event("purchase", price=5))
    pipeline.ingest()
    send(produce, pipeline, event("click"), event("purchase", price=11.5), b"{")
    result = pipeline.run(pipeline.plan())
    (silver,) = [
        each
        for each in result.asset_materializations_for_node("silver_and_quarantine")
        if each.asset_key == SILVER
    ]
    rows = {
        row.data["field"]: row.data for row in silver.metadata["profile of the hour so far"].value.records
    }
    assert rows["price"]["null"] == "33.3%"
    assert (rows["price"]["least"], rows["price"]["greatest"]) == ("5.0000", "11.5000")
    assert rows["event_type"]["frequent"] == "purchase 2, click 1"
