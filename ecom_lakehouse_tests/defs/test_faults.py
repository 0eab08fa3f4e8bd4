"""Faults that are caused, and nothing lost, counted twice or dropped in silence after any of them."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from ecom_lakehouse.defs import sensors
from ecom_lakehouse.errors import LedgerError, TopicError, WriterBusyError
from ecom_lakehouse.lake import kafka_batches
from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse.lake.ledger_rebuild import rebuild_from_bronze
from ecom_lakehouse.lake.offsets import OffsetRange
from ecom_lakehouse.lake.topic import CONSUMER_GROUP, commit_group_offsets, look_at_topic
from ecom_lakehouse.lake.writer import RightToWrite, take_right_to_write
from ecom_lakehouse.settings import LOCALHOST, Settings
from ecom_lakehouse.stack.child import started
from ecom_lakehouse.stack.jars import fetch_jars
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.topic import create_topic
from ecom_lakehouse_tests.pipeline import Pipeline, event, message, minute_ago

Produce = Callable[..., None]
Kill = Callable[[str, str], None]
TABLES = ("bronze", "silver", "quarantine")
MANY = 10_000


def send(produce: Produce, pipeline: Pipeline, *events: dict | bytes | None, partition: int = 0) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events], partition=partition)


def expire(pipeline: Pipeline, before: int, partition: int = 0) -> None:
    """Makes Kafka drop what lies before that offset, as its retention would."""
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    requests = admin.delete_records([TopicPartition(pipeline.settings.topic, partition, before)])
    for request in requests.values():
        request.result(20)


def make_topic_anew(pipeline: Pipeline) -> None:
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    for future in admin.delete_topics([pipeline.settings.topic], operation_timeout=20).values():
        future.result(20)
    for _ in range(100):
        try:
            future = admin.create_topics([NewTopic(pipeline.settings.topic, 3)])[pipeline.settings.topic]
            future.result(20)
        except Exception as error:
            if "exists" not in str(error) and "deletion" not in str(error):
                raise
        else:
            return


@pytest.fixture
def kill(pipeline: Pipeline, tmp_path: Path) -> Kill:
    """Starts a run that is killed just before the named method of the ledger."""

    def run(slices: str, before: str) -> None:
        settings = tmp_path / "settings.json"
        settings.write_text(pipeline.settings.model_dump_json())
        ended = subprocess.run(
            [sys.executable, "-m", "ecom_lakehouse_tests.defs.killed_run", str(settings), slices, before],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr[-2000:]

    return run


@pytest.mark.parametrize("before", ["mark_bronze", "mark_dirty", "mark_silver", "mark_gold"])
def test_a_killed_run_is_finished_by_the_next_one(
    pipeline: Pipeline, produce: Produce, kill: Kill, before: str
) -> None:
    at = minute_ago(2)
    twice = event("purchase", price=10, quantity=2, event_time=at)
    send(produce, pipeline, twice, twice, event(event_time=at), b"broken")
    (planned,) = pipeline.plan()
    kill(str(planned.slice_id), before)
    pipeline.finish()
    assert [len(pipeline.rows(table)) for table in TABLES] == [4, 2, 1]
    assert pipeline.kpi("revenue") == Decimal(20)
    assert audit(pipeline.settings).passed


def test_a_broker_killed_in_the_middle_of_a_read_costs_an_attempt_and_no_message(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = kafka_service(tmp_path / "kafka", free_port(), fetch_jars(settings))
    settings = settings.model_copy(update={"kafka_bootstrap_servers": f"{LOCALHOST}:{service.port}"})
    # A consumer that fetches next to nothing ahead: most is still with the broker when it is killed.
    small = {
        "queued.max.messages.kbytes": "64",
        "fetch.message.max.bytes": "65536",
        "fetch.max.bytes": "65536",
    }
    starved = {**kafka_batches.READER_OPTIONS, **small, "message.max.bytes": "65536"}
    with contextlib.ExitStack() as stack:
        pipeline = stack.enter_context(contextlib.closing(Pipeline(settings)))
        broker = stack.enter_context(started(service, tmp_path / "kafka.log", tmp_path))
        create_topic(settings)
        producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers, "linger.ms": 50})
        for _ in range(MANY):
            producer.produce(settings.topic, value=b"x" * 2000, partition=0)
            producer.poll(0)
        assert producer.flush(60) == 0
        slices = pipeline.plan()
        assert broker.running is not None
        pid, batch = broker.running.pid, kafka_batches._batch

        def batch_without_a_broker(*given):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return batch(*given)

        with monkeypatch.context() as patch:
            patch.setattr(kafka_batches, "READER_OPTIONS", starved)
            patch.setattr(kafka_batches, "SILENCE_SECONDS", 2.0)
            patch.setattr(kafka_batches, "_batch", batch_without_a_broker)
            result = pipeline.run(slices, fails=True)
        failure = next(each for each in result.all_events if each.is_step_failure).step_failure_data.error
        assert "the next attempt starts the slice anew" in str(failure)
        assert pipeline.rows("bronze") == []
        broker.reap()
        stack.enter_context(started(service, tmp_path / "kafka.log", tmp_path))
        pipeline.finish()
        assert [row["kafka_offset"] for row in pipeline.rows("bronze")] == list(range(MANY))
        assert audit(settings).passed


@pytest.mark.skipif(sys.platform != "linux", reason="needs a mount space of its own, by unshare")
def test_a_full_disk_costs_an_attempt_and_leaves_the_table_as_it_was(
    pipeline: Pipeline, produce: Produce, tmp_path: Path
) -> None:
    send(produce, pipeline, *(secrets.token_hex(1000).encode() for _ in range(8000)))
    settings = tmp_path / "settings.json"
    settings.write_text(pipeline.settings.model_dump_json())
    module = "ecom_lakehouse_tests.defs.full_disk_run"
    ended = subprocess.run(
        ["unshare", "--map-root-user", "--mount", sys.executable, "-m", module, str(settings)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_no_stale_minute_stays_when_a_rebuild_dies_between_silver_and_gold(
    pipeline: Pipeline, produce: Produce, kill: Kill
) -> None:
    send(produce, pipeline, event("purchase", price=10, quantity=2), event())
    pipeline.ingest()
    # Silver of the slice is about to lose its rows: the same message would be too old by now.
    pipeline.settings = pipeline.settings.model_copy(update={"age_limit_days": 1})
    send(produce, pipeline, event(event_time=minute_ago(60 * 30)))
    pipeline.ingest()
    kill("rebuild", "mark_gold")
    assert "rebuilding" in states(pipeline)
    pipeline.finish()
    assert states(pipeline) == ["done", "done"]
    assert audit(pipeline.settings).passed


def test_a_replayed_tick_plans_nothing_twice(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    first, again = pipeline.plan(), pipeline.tick()
    send(produce, pipeline, event())
    later = pipeline.tick()
    assert isinstance(again, sensors.Work)
    assert isinstance(later, sensors.Work)
    assert [each.slice_id for each in again.slices] == [each.slice_id for each in first]
    assert [each.ranges for each in later.slices] == [each.ranges for each in first]


def test_a_slice_planned_between_two_steps_of_a_rebuild_waits_for_its_own_run(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.ingest()
    send(produce, pipeline, event("purchase"))
    from ecom_lakehouse.defs import assets

    write_silver = assets.write_silver

    def plan_meanwhile(*arguments):
        pipeline.at_next_mark()
        sensors.plan_slice(
            pipeline.ledger,
            sensors.look_at_waiting(
                pipeline.ledger, sensors.look_at_topic(pipeline.settings), pipeline.settings
            ),
            pipeline.settings,
        )
        return write_silver(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(assets, "write_silver", plan_meanwhile)
        pipeline.rebuild(first.hour)
    assert states(pipeline) == ["done", "planned"]
    pipeline.finish()
    assert len(pipeline.rows("silver")) == 2
    assert audit(pipeline.settings).passed


def test_two_runs_at_once_on_one_slice_write_it_once(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    slices = pipeline.plan()
    with take_right_to_write(pipeline.settings, wait_seconds=0):
        assert "Another run is writing" in str(pipeline.tick())
        with pytest.raises(WriterBusyError, match="nothing was written"):
            take_right_to_write(pipeline.settings, wait_seconds=0.5)
    pipeline.run(slices)
    pipeline.run(slices)
    assert len(pipeline.rows("bronze")) == 1


def test_the_right_to_write_lost_in_the_middle_writes_nothing_more(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event())
    with take_right_to_write(pipeline.settings, wait_seconds=0) as right:
        pipeline.ledger.connection.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'"
            " and database = (select oid from pg_database where datname = current_database())"
        )
        with pytest.raises(LedgerError, match="right to write was lost"):
            right.require()


def test_offsets_that_expired_before_the_plan_are_lost_and_said_so(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event())
    pipeline.ingest()
    send(produce, pipeline, event(), event(), event())
    expire(pipeline, before=3)
    pipeline.ingest()
    assert [row["kafka_offset"] for row in pipeline.rows("bronze")] == [0, 3]
    assert pipeline.ledger.lost_offsets(2) == [OffsetRange(pipeline.settings.topic, 0, 1, 3)]
    assert audit(pipeline.settings).passed


def test_offsets_that_expire_between_plan_and_read_are_lost_and_said_so(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event(), event())
    slices = pipeline.plan()
    expire(pipeline, before=2)
    pipeline.run(slices)
    assert [row["kafka_offset"] for row in pipeline.rows("bronze")] == [2]
    assert pipeline.ledger.lost_offsets(1) == [OffsetRange(pipeline.settings.topic, 0, 0, 2)]


def test_a_slice_of_which_kafka_has_dropped_everything_is_finished_and_said_to_be_lost(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event())
    slices = pipeline.plan()
    expire(pipeline, before=2)
    pipeline.run(slices)
    assert states(pipeline) == ["done"]
    assert pipeline.rows("bronze") == []
    assert pipeline.ledger.lost_offsets_in_all() == 2


def test_stored_rows_stay_when_kafka_no_longer_holds_them(
    pipeline: Pipeline, produce: Produce, kill: Kill
) -> None:
    send(produce, pipeline, event(), event(), event())
    (planned,) = pipeline.plan()
    kill(str(planned.slice_id), "mark_bronze")
    expire(pipeline, before=2)
    result = pipeline.run([planned])
    (written,) = result.asset_materializations_for_node("bronze_events")
    assert written.metadata["kept as stored (Kafka holds less)"].value == "1"
    assert [row["kafka_offset"] for row in pipeline.rows("bronze")] == [0, 1, 2]
    assert pipeline.ledger.lost_offsets(1) == []
    assert audit(pipeline.settings).passed


def test_bronze_is_not_rebuilt_from_a_kafka_that_holds_less(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event())
    (first,) = pipeline.ingest()
    expire(pipeline, before=1)
    result = pipeline.rebuild(first.hour, fails=True)
    failure = next(each for each in result.all_events if each.is_step_failure).step_failure_data.error
    assert "Nothing was touched" in str(failure)
    assert len(pipeline.rows("bronze")) == 2
    assert states(pipeline) == ["done"]


def test_silver_is_rebuilt_from_bronze_when_kafka_holds_nothing(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event("purchase"), b"broken")
    (first,) = pipeline.ingest()
    before = pipeline.rows("silver")
    expire(pipeline, before=3)
    pipeline.rebuild(first.hour, [dg.AssetKey("silver_events"), dg.AssetKey("quarantine_events")])
    pipeline.finish()
    assert pipeline.rows("silver") == before
    assert audit(pipeline.settings).passed


def test_a_topic_made_anew_stops_planning_though_it_is_longer(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    pipeline.ingest()
    make_topic_anew(pipeline)
    send(produce, pipeline, event(), event(), event())
    pipeline.at_next_mark()
    with pytest.raises(TopicError, match="adopt-topic"):
        pipeline.tick()
    assert len(pipeline.rows("bronze")) == 1


def test_of_a_topic_made_anew_nothing_is_read_as_if_it_were_the_old_one(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event())
    (first,) = pipeline.ingest()
    before = pipeline.rows("bronze")
    send(produce, pipeline, event())
    (unread,) = pipeline.plan()
    make_topic_anew(pipeline)
    create_topic(pipeline.settings)
    send(produce, pipeline, event(), event(), event(), event())
    pipeline.ledger.adopt_topic(look_at_topic(pipeline.settings))
    pipeline.finish()
    assert pipeline.ledger.lost_offsets(unread.slice_id) == list(unread.ranges)
    assert [row["slice_id"] for row in pipeline.rows("bronze")].count(unread.slice_id) == 0
    pipeline.ingest()
    result = pipeline.rebuild(first.hour, fails=True)
    failure = next(each for each in result.all_events if each.is_step_failure).step_failure_data.error
    assert "made anew since" in str(failure)
    assert [row for row in pipeline.rows("bronze") if row["slice_id"] == first.slice_id] == before
    assert len(pipeline.rows("bronze")) == 6
    assert audit(pipeline.settings).passed


def test_an_older_ledger_is_refused_and_made_anew_from_bronze(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event("purchase", price=5, quantity=1))
    pipeline.ingest()
    send(produce, pipeline, event("purchase", price=7, quantity=1), b"broken")
    pipeline.ingest()
    # As an older dump would have it: the second slice is unknown.
    pipeline.ledger.connection.execute("delete from lake.slices where slice_id = 2")
    send(produce, pipeline, event())
    pipeline.at_next_mark()
    with pytest.raises(LedgerError, match="rebuild-ledger"):
        pipeline.tick()
    assert rebuild_from_bronze(pipeline.settings) == 2
    pipeline.finish()
    pipeline.ingest()
    assert [len(pipeline.rows(table)) for table in TABLES] == [5, 4, 1]
    assert pipeline.kpi("revenue") == Decimal(12)
    assert audit(pipeline.settings).passed


@pytest.mark.parametrize("forgotten", ["slice_id > 2", "true"])
def test_a_ledger_of_a_topic_made_anew_is_made_from_bronze_and_keeps_what_was_lost(
    pipeline: Pipeline, produce: Produce, forgotten: str
) -> None:
    send(produce, pipeline, event(), event(), event())
    slices = pipeline.plan()
    expire(pipeline, before=1)
    pipeline.run(slices)
    make_topic_anew(pipeline)
    create_topic(pipeline.settings)
    send(produce, pipeline, event())
    pipeline.ledger.adopt_topic(look_at_topic(pipeline.settings))
    pipeline.ingest()
    send(produce, pipeline, event())
    pipeline.ingest()
    pipeline.ledger.connection.execute(f"delete from lake.slices where {forgotten}")
    if forgotten == "true":
        pipeline.ledger.connection.execute("truncate lake.topics cascade")
    assert rebuild_from_bronze(pipeline.settings) == 3
    assert pipeline.ledger.lost_offsets_in_all() == (1 if forgotten != "true" else 0)
    pipeline.finish()
    send(produce, pipeline, event())
    pipeline.ingest()
    assert [len(pipeline.rows(table)) for table in TABLES] == [5, 5, 0]
    assert audit(pipeline.settings).passed


def test_a_ledger_is_not_made_from_bronze_of_another_topic(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    pipeline.ingest()
    make_topic_anew(pipeline)
    create_topic(pipeline.settings)
    send(produce, pipeline, event())
    with pytest.raises(TopicError, match="made anew"):
        rebuild_from_bronze(pipeline.settings)
    assert states(pipeline) == ["done"]


def test_a_hold_lets_bronze_go_on_and_silver_and_gold_wait(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    pipeline.run([first], [dg.AssetKey("bronze_events")])
    pipeline.ledger.hold(first.slice_id, "a check said no", "silver")
    send(produce, pipeline, event("purchase"))
    pipeline.at_next_mark()
    work = pipeline.tick()
    assert isinstance(work, sensors.Work)
    assert work.selection == (dg.AssetKey("bronze_events"),)
    pipeline.run(work.slices, [dg.AssetKey("bronze_events")])
    assert isinstance(pipeline.tick(), str)
    assert len(pipeline.rows("bronze")) == 2
    assert pipeline.rows("silver") == []
    pipeline.ledger.release(first.slice_id)
    pipeline.finish()
    assert len(pipeline.rows("silver")) == 2
    assert audit(pipeline.settings).passed


def test_a_slice_that_failed_is_tried_again_after_a_pause(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    (planned,) = pipeline.plan()
    pipeline.ledger.begin_attempt([planned.slice_id], base_seconds=60)
    assert "tried again soon" in str(pipeline.tick())
    pipeline.ledger.connection.execute("update lake.slices set next_attempt_at = now()")
    assert isinstance(pipeline.tick(), sensors.Work)


def test_an_hour_whose_bronze_files_are_gone_is_rebuilt_from_kafka(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event("purchase"), b"broken")
    (first,) = pipeline.ingest()
    before = pipeline.rows("bronze")
    for file in Path(pipeline.lake.bronze.uri).rglob("*.parquet"):
        if "_delta_log" not in file.parts:
            file.unlink()
    pipeline.rebuild(first.hour)
    assert pipeline.rows("bronze") == before
    assert audit(pipeline.settings).passed


def test_files_missing_in_two_hours_are_both_written_anew_when_one_is_rebuilt(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event())
    (first,) = pipeline.plan()
    pipeline.ledger.connection.execute(
        "update lake.slices set planned_hour = planned_hour - interval '1 hour'"
    )
    pipeline.run([pipeline.ledger.slice(first.slice_id)])
    send(produce, pipeline, event("purchase"))
    (second,) = pipeline.ingest()
    before = pipeline.rows("bronze")
    for file in Path(pipeline.lake.bronze.uri).rglob("ingest_hour=*/*.parquet"):
        file.unlink()
    pipeline.rebuild(second.hour)
    assert states(pipeline) == ["rebuilding", "done"]
    pipeline.finish()
    assert pipeline.rows("bronze") == before
    assert audit(pipeline.settings).passed


def test_the_audit_names_what_differs_and_the_hour_to_rebuild(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event("purchase"))
    (first,) = pipeline.ingest()
    pipeline.lake.silver.delta().delete("event_type = 'purchase'")
    pipeline.ledger.connection.execute(
        "update serving.kpi_minute set value = value + 1 where metric = 'revenue'"
    )
    report = audit(pipeline.settings)
    broken = {each.promise for each in report.differences}
    assert {"silver holds as many rows of each slice as were counted", "Gold = Silver"} <= broken
    assert report.rebuild_hours == [first.hour]
    pipeline.rebuild(first.hour)
    assert audit(pipeline.settings).passed


def test_the_audit_calls_nothing_wrong_that_a_run_had_only_not_written_yet(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(produce, pipeline, event("purchase"))
    pipeline.ingest()
    change = "update serving.kpi_minute set value = value + %s where metric = 'revenue'"
    pipeline.ledger.connection.execute(change, (1,))

    def after_the_run(settings: Settings, wait_seconds: float) -> RightToWrite:
        pipeline.ledger.connection.execute(change, (-1,))
        return take_right_to_write(settings, wait_seconds)

    monkeypatch.setattr("ecom_lakehouse.lake.audit.take_right_to_write", after_the_run)
    assert audit(pipeline.settings).passed


def test_the_consumer_groups_offsets_follow_bronze_for_lag_monitors(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(), event())
    pipeline.ingest()
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    group = ConsumerGroupTopicPartitions(CONSUMER_GROUP)
    offsets = admin.list_consumer_group_offsets([group])[CONSUMER_GROUP].result(20).topic_partitions
    assert [each.offset for each in offsets if each.topic == pipeline.settings.topic] == [2]
    # An old slice that is written anew is no lag.
    assert commit_group_offsets(pipeline.settings, (OffsetRange(pipeline.settings.topic, 0, 0, 1),)) is None
    offsets = admin.list_consumer_group_offsets([group])[CONSUMER_GROUP].result(20).topic_partitions
    assert [each.offset for each in offsets if each.topic == pipeline.settings.topic] == [2]


def states(pipeline: Pipeline) -> list[str]:
    rows = pipeline.ledger.connection.execute("select state from lake.slices order by slice_id").fetchall()
    return [row["state"] for row in rows]
