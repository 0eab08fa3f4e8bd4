"""What becomes of messages: Kafka to Gold through the real assets, in process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from ecom_lakehouse.lake.audit import audit
from ecom_lakehouse_tests.pipeline import Pipeline, event, iso, message, minute_ago

Produce = Callable[..., None]


def send(
    produce: Produce, pipeline: Pipeline, *events: dict | bytes | None, partition: int | None = None
) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events], partition=partition)


def test_events_flow_from_kafka_to_gold(pipeline: Pipeline, produce: Produce) -> None:
    at = minute_ago(2)
    bought = event("purchase", price=19.99, quantity=3, event_time=at)
    send(produce, pipeline, bought, event("click", event_time=at), event("click", product_id=None), b"{")
    pipeline.ingest()
    assert len(pipeline.rows("bronze")) == 4
    assert {row["event_type"] for row in pipeline.rows("silver")} == {"purchase", "click"}
    assert sorted(row["validation_errors"][0] for row in pipeline.rows("quarantine")) == [
        "malformed_json",
        "product_id_required_for_click_or_cart",
    ]
    (kpis,) = pipeline.kpis().values()
    assert kpis["revenue"] == Decimal("59.97")
    assert kpis["purchase_conversion"] == 1
    assert len(kpis) == 10
    assert audit(pipeline.settings).passed


def test_a_start_at_latest_reads_what_comes_after_it_and_nothing_before(
    pipeline: Pipeline, produce: Produce
) -> None:
    pipeline.settings = pipeline.settings.model_copy(update={"start_offsets": "latest"})
    send(produce, pipeline, event("checkout"))
    assert "Nothing new" in str(pipeline.tick())
    send(produce, pipeline, event("click"))
    pipeline.ingest()
    assert [row["event_type"] for row in pipeline.rows("bronze")] == ["click"]
    assert pipeline.ledger.lost_offsets_in_all() == 0


def test_an_empty_topic_plans_nothing_and_closes_minutes(pipeline: Pipeline) -> None:
    assert "Nothing new" in str(pipeline.tick())
    closed = pipeline.ledger.connection.execute("select reached_gold_at from serving.freshness").fetchone()
    assert closed is not None
    assert closed["reached_gold_at"] > datetime.now(UTC) - timedelta(seconds=30)


def test_a_slice_run_twice_is_in_the_tables_once(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event("purchase"), b"broken")
    slices = pipeline.ingest()
    before = {table: pipeline.rows(table) for table in ("bronze", "silver", "quarantine")}
    pipeline.run(slices)
    assert {table: pipeline.rows(table) for table in before} == before
    assert pipeline.kpi("events_total") == 2


def test_an_hour_rebuilt_gives_the_same_rows(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event(), event("purchase"), b"broken")
    first = pipeline.ingest()
    send(produce, pipeline, event("purchase"), event("add_to_cart"))
    pipeline.ingest()
    before = {table: pipeline.rows(table) for table in ("bronze", "silver")}
    quarantined = [row["raw_json"] for row in pipeline.rows("quarantine")]
    kpis = pipeline.kpis()
    pipeline.rebuild(first[0].hour)
    assert {table: pipeline.rows(table) for table in before} == before
    assert [row["raw_json"] for row in pipeline.rows("quarantine")] == quarantined
    assert pipeline.kpis() == kpis
    assert audit(pipeline.settings).passed


def test_an_event_three_days_late_rewrites_its_minute(pipeline: Pipeline, produce: Produce) -> None:
    late = datetime.now(UTC) - timedelta(days=3)
    send(produce, pipeline, event(event_time=iso(late)))
    pipeline.ingest()
    send(produce, pipeline, event(event_time=iso(late)))
    pipeline.ingest()
    minute = late.replace(second=0, microsecond=0)
    assert pipeline.kpis()[minute]["events_click"] == 2
    assert [each["late_rows"] for each in slice_counts(pipeline)] == [1, 1]


def test_a_duplicate_in_the_same_slice_is_counted_and_left_out(pipeline: Pipeline, produce: Produce) -> None:
    twice = event()
    send(produce, pipeline, twice, twice)
    pipeline.ingest()
    assert len(pipeline.rows("bronze")) == 2
    assert len(pipeline.rows("silver")) == 1
    assert [each["duplicate_rows"] for each in slice_counts(pipeline)] == [1]


def test_a_duplicate_in_a_later_slice_is_left_out(pipeline: Pipeline, produce: Produce) -> None:
    twice = event(event_time=minute_ago(600))
    send(produce, pipeline, twice)
    pipeline.ingest()
    send(produce, pipeline, twice, event())
    pipeline.ingest()
    assert len(pipeline.rows("silver")) == 2
    assert [each["duplicate_rows"] for each in slice_counts(pipeline)] == [0, 1]
    assert audit(pipeline.settings).passed


def test_of_duplicates_across_kafka_partitions_the_lowest_coordinate_is_kept(
    pipeline: Pipeline, produce: Produce
) -> None:
    twice = event()
    send(produce, pipeline, twice, partition=2)
    send(produce, pipeline, twice, partition=1)
    pipeline.ingest()
    (kept,) = pipeline.rows("silver")
    assert kept["kafka_partition"] == 1


def test_an_id_used_again_with_another_time_is_found_within_the_horizon(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(300)))
    pipeline.ingest()
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(1)))
    pipeline.ingest()
    assert len(pipeline.rows("silver")) == 1


def test_an_id_used_again_beyond_the_horizon_and_the_hour_is_another_event(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(300)))
    pipeline.ingest()
    pipeline.ledger.connection.execute("update lake.slices set planned_at = planned_at - interval '3 hours'")
    send(produce, pipeline, event(event_id="same", event_time=minute_ago(1)))
    pipeline.ingest()
    assert len(pipeline.rows("silver")) == 2


def test_an_invalid_first_copy_makes_no_duplicate_of_a_valid_second(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, event(event_id="same", user_id=""), event(event_id="same"))
    pipeline.ingest()
    assert len(pipeline.rows("silver")) == 1
    assert len(pipeline.rows("quarantine")) == 1


def test_the_accepted_copy_stays_accepted_when_an_earlier_hour_is_rebuilt(
    pipeline: Pipeline, produce: Produce
) -> None:
    twice = event()
    send(produce, pipeline, twice | {"user_id": ""})
    first = pipeline.ingest()
    send(produce, pipeline, twice)
    pipeline.ingest()
    before = pipeline.rows("silver")
    pipeline.rebuild(first[0].hour)
    assert pipeline.rows("silver") == before


def test_a_kafka_partition_added_later_is_read_from_its_start(pipeline: Pipeline, produce: Produce) -> None:
    send(produce, pipeline, event())
    pipeline.ingest()
    admin = AdminClient({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    for future in admin.create_partitions([NewPartitions(pipeline.settings.topic, 4)]).values():
        future.result(20)
    # A producer that was there before would not know the new partition for minutes.
    producer = Producer({"bootstrap.servers": pipeline.settings.kafka_bootstrap_servers})
    for _ in range(2):
        producer.produce(pipeline.settings.topic, message(event())[1], partition=3)
    assert producer.flush(20) == 0
    pipeline.ingest()
    assert [row["kafka_offset"] for row in pipeline.rows("bronze") if row["kafka_partition"] == 3] == [0, 1]


def test_a_key_and_headers_that_are_no_text_are_kept(pipeline: Pipeline, produce: Produce) -> None:
    headers = [("trace", b"\xff\x00"), ("none", None), ("trace", b"again")]
    produce(pipeline.settings.topic, [(b"\xff\xfe", message(event())[1], headers)])
    pipeline.ingest()
    (row,) = pipeline.rows("bronze")
    assert row["kafka_key"] is None
    assert row["kafka_key_raw"] == b"\xff\xfe"
    assert [(each["key"], each["value"]) for each in row["kafka_headers"]] == headers


def test_a_tombstone_and_bytes_that_are_no_text_are_kept_and_quarantined(
    pipeline: Pipeline, produce: Produce
) -> None:
    send(produce, pipeline, None, b"\xff\xfe{}", partition=0)
    pipeline.ingest()
    tombstone, bytes_ = pipeline.rows("quarantine")
    assert (tombstone["raw_json"], tombstone["validation_errors"]) == (None, ["empty_message"])
    assert (bytes_["raw_value"], bytes_["validation_errors"]) == (b"\xff\xfe{}", ["malformed_json"])


def slice_counts(pipeline: Pipeline) -> list[dict]:
    return pipeline.ledger.connection.execute("select * from lake.slices order by slice_id").fetchall()
