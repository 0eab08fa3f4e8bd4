"""Slices that fail or are held: what the ledger says of them, and what goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from deltalake import write_deltalake

from ecom_lakehouse.defs import assets, checks, sensors
from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.lake.planning import Waiting, look_at_waiting, plan_slice
from ecom_lakehouse.lake.status import read_status
from ecom_lakehouse.lake.tables import LakeTable
from ecom_lakehouse.lake.topic import look_at_topic
from ecom_lakehouse_tests.pipeline import Pipeline, event, message, minute_ago

Produce = Callable[..., None]


def send(produce: Produce, pipeline: Pipeline, *events: dict[str, Any] | bytes) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events], partition=0)


def last_errors(pipeline: Pipeline) -> list[str | None]:
    rows = pipeline.ledger.connection.execute("select last_error from lake.slices order by slice_id")
    return [row["last_error"] for row in rows]


def refuse(*_given: object) -> NoReturn:
    raise ValueError("the disk is full")


@pytest.mark.parametrize(
    ("where", "name"),
    [(assets, "write_bronze"), (assets, "write_silver"), (checks, "rule_verdicts"), (assets, "refresh_gold")],
)
def test_why_a_run_failed_is_in_the_ledger_wherever_it_failed(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    send(produce, pipeline, event())
    slices = pipeline.plan()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, refuse)
        pipeline.run(slices, fails=True)
    assert last_errors(pipeline) == ["ValueError: the disk is full"]
    pipeline.finish()
    assert last_errors(pipeline) == [None]


def fail_once(pipeline: Pipeline) -> None:
    """One try as the sensor and a run make it, with the pause after it over."""
    pipeline.ledger.connection.execute("update lake.slices set next_attempt_at = null")
    work = pipeline.tick()
    assert isinstance(work, sensors.Work), work
    pipeline.ledger.begin_attempt([each.slice_id for each in work.slices], base_seconds=0.001)
    pipeline.run(work.slices, fails=True)


def test_a_slice_that_always_fails_is_held_after_its_tries_and_bronze_goes_on(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.settings = pipeline.settings.model_copy(update={"slice_max_attempts": 2})
    send(produce, pipeline, event())
    with monkeypatch.context() as patch:
        patch.setattr(assets, "write_bronze", refuse)
        fail_once(pipeline)
        assert read_status(pipeline.ledger.connection).healthy
        fail_once(pipeline)
        assert not read_status(pipeline.ledger.connection).healthy
    pipeline.ledger.connection.execute("update lake.slices set next_attempt_at = null")
    assert "Slice 1 is held" in str(pipeline.tick())
    assert pipeline.ledger.slice(1).held_reason == "2 tries failed: ValueError: the disk is full"
    send(produce, pipeline, event())
    pipeline.at_next_mark()
    work = pipeline.tick()
    assert isinstance(work, sensors.Work)
    assert ([each.slice_id for each in work.slices], work.selection) == ([2], (assets.BRONZE,))
    pipeline.ledger.release(1)
    pipeline.finish()
    assert len(pipeline.rows("silver")) == 2
    assert audit(pipeline.settings).passed


def test_nobody_looking_at_the_topic_is_not_healthy(pipeline: Pipeline) -> None:
    pipeline.tick()
    assert read_status(pipeline.ledger.connection).healthy
    pipeline.ledger.connection.execute("update lake.looks set looked_at = now() - interval '6 minutes'")
    assert not read_status(pipeline.ledger.connection).healthy


def test_of_a_rebuilt_hour_only_the_held_slice_waits_and_bronze_goes_on(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes in (9, 6, 3):
        send(produce, pipeline, event("purchase", event_time=minute_ago(minutes)))
        (last,) = pipeline.ingest()
    minutes_of_gold = sorted(pipeline.kpis())
    pipeline.ledger.connection.execute("delete from serving.kpi_minute")
    twice = LakeTable.replace_slice

    def replace_and_spoil_the_second(table: LakeTable, frame: Any, slice_id: int, *given: Any) -> Any:
        written = twice(table, frame, slice_id, *given)
        if table.schema.name == "silver_events" and slice_id == 2:
            write_deltalake(table.uri, table.arrow(None, "slice_id = 2"), mode="append")
        return written

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "replace_slice", replace_and_spoil_the_second)
        pipeline.rebuild(last.hour, fails=True)
    assert states(pipeline) == ["rebuilding", "held", "rebuilding"]
    send(produce, pipeline, event("purchase"))
    pipeline.at_next_mark()
    pipeline.finish()
    assert states(pipeline) == ["done", "held", "done", "bronze"]
    assert sorted(pipeline.kpis()) == [minutes_of_gold[0], minutes_of_gold[2]]
    pipeline.ledger.release(2)
    pipeline.finish()
    assert states(pipeline) == ["done"] * 4
    assert pipeline.kpi("events_purchase") == 4
    assert audit(pipeline.settings).passed


def test_a_minute_that_a_held_slice_touched_waits_whoever_touched_it_after(
    pipeline: Pipeline, produce: Produce
) -> None:
    at = minute_ago(5)
    send(produce, pipeline, event(event_time=at))
    (first,) = pipeline.plan()
    pipeline.run([first], [assets.BRONZE, assets.SILVER, assets.QUARANTINE])
    send(produce, pipeline, event(event_time=at), event(event_time=minute_ago(2)))
    pipeline.at_next_mark()
    second = plan_slice(pipeline.ledger, waiting(pipeline), pipeline.settings)
    assert second is not None
    pipeline.run([second], [assets.BRONZE, assets.SILVER, assets.QUARANTINE])
    pipeline.ledger.hold(first.slice_id, "a check said no", "silver")
    pipeline.ledger.begin_rebuild([second.slice_id], "gold", "a run of another hour")
    pipeline.finish()
    assert len(pipeline.kpis()) == 1
    pipeline.ledger.release(first.slice_id)
    pipeline.finish()
    assert len(pipeline.kpis()) == 2
    assert audit(pipeline.settings).passed


def test_no_two_tries_of_a_slice_share_a_key_though_tries_are_counted_anew(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event())
    (planned,) = pipeline.plan()
    keys = set()
    for _ in range(2):
        pipeline.ledger.release(planned.slice_id)
        began = pipeline.ledger.begin_attempt([planned.slice_id], base_seconds=1)
        keys.add(sensors.request(sensors.Work([planned]), began).run_key)
    assert len(keys) == 2


def waiting(pipeline: Pipeline) -> Waiting:
    return look_at_waiting(pipeline.ledger, look_at_topic(pipeline.settings), pipeline.settings)


def states(pipeline: Pipeline) -> list[str]:
    rows = pipeline.ledger.connection.execute("select state from lake.slices order by slice_id")
    return [row["state"] for row in rows]
