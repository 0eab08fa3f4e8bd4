"""Whole runs against a real Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from ecom_lakehouse.generator.pace import arrivals
from ecom_lakehouse.generator.plan import Span, plan
from ecom_lakehouse.generator.run import Run, Summary
from ecom_lakehouse.settings import GeneratorSettings, Settings
from ecom_lakehouse.stack.topic import create_topic


def made(settings: Settings, **generator: Any) -> Summary:
    run = Run(settings, GeneratorSettings(**generator), lambda _line: None, threading.Event())
    run.wait_for_kafka()
    run.steady()
    return run.finish()


def stored(settings: Settings, topic: str) -> list[tuple[bytes, bytes]]:
    """Every message of the topic."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "generator-tests"}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {
            p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1] for p in partitions
        }
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        messages: list[tuple[bytes, bytes]] = []
        while len(messages) < sum(ends.values()):
            for message in consumer.consume(min(sum(ends.values()) - len(messages), 10_000), timeout=10):
                assert message.error() is None
                messages.append((message.key(), message.value()))
        return messages
    finally:
        consumer.close()


def test_kafka_holds_what_the_summary_says(settings: Settings, topic: str) -> None:
    summary = made(settings, events_per_sec=0, max_events=3000, dup_rate=0.1)
    values = [value for _key, value in stored(settings, topic)]
    assert summary.tally.sent == summary.delivered == len(values) == 3000
    assert (summary.failed, summary.unconfirmed, summary.first_error) == (0, 0, None)
    assert sum(count - 1 for count in Counter(values).values()) == summary.tally.duplicates > 200
    assert "3,000 sent" in summary.text()


def test_all_it_can_is_delivered_to_the_last_event(settings: Settings, topic: str) -> None:
    summary = made(settings, events_per_sec=0, max_events=60_000)
    assert summary.delivered == 60_000
    assert summary.events_per_second > 1000  # not held back to the default pace


def test_a_steady_rate_is_kept(settings: Settings, topic: str) -> None:
    summary = made(settings, events_per_sec=200, max_events=400)
    assert summary.events_per_second == pytest.approx(200, rel=0.25)


def test_a_past_is_sent_at_once_with_its_own_times(settings: Settings, topic: str) -> None:
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    past = Span(end - timedelta(days=2), end)
    generator = GeneratorSettings(events_per_sec=0.05, late_rate=0, dup_rate=0, invalid_rate=0)
    run = Run(settings, generator, lambda _line: None, threading.Event())
    run.wait_for_kafka()
    asked = plan("mixed", generator, past, each=1, lead=timedelta(0), lasts=None)
    run.historical(asked.arrivals())
    summary = run.finish()
    events = [json.loads(value) for _key, value in stored(settings, topic)]
    expected = list(arrivals(asked.scenario, past.start, past.end, generator.seed))
    assert summary.delivered == len(events) == len(expected)
    happened = sorted(datetime.fromisoformat(event["event_time"]) for event in events)
    assert past.start <= happened[0] < past.start + timedelta(hours=1)
    assert past.end - timedelta(hours=1) < happened[-1] < past.end
    assert all(datetime.fromisoformat(event["ingest_time"]) >= end for event in events)


def test_a_live_scenario_sends_each_event_when_it_happens(settings: Settings, topic: str) -> None:
    generator = GeneratorSettings(events_per_sec=60, max_events=100, late_rate=0)
    run = Run(settings, generator, lambda _line: None, threading.Event())
    run.wait_for_kafka()
    run.live(plan("calm", generator, None, each=1, lead=timedelta(0), lasts=None).arrivals())
    summary = run.finish()
    assert summary.delivered == 100
    now = datetime.now(UTC)
    for _key, value in stored(settings, topic):
        assert now - timedelta(seconds=30) < datetime.fromisoformat(json.loads(value)["event_time"]) <= now


def test_it_waits_for_the_topic_and_says_so(settings: Settings, kafka_broker: object) -> None:
    waited_for = settings.model_copy(update={"topic": f"{settings.topic}.later"})
    said: list[str] = []
    seen = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        seen.set()

    run = Run(waited_for, GeneratorSettings(events_per_sec=0, max_events=10), say, threading.Event())
    waiting = threading.Thread(target=run.wait_for_kafka)
    waiting.start()
    assert seen.wait(30)
    assert waiting.is_alive()
    create_topic(waited_for)
    waiting.join(30)
    assert not waiting.is_alive()
    assert f"no topic {waited_for.topic}" in said[0]
    run.steady()
    assert run.finish().delivered == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_everything_delivered_and_summed_up(
    settings: Settings, topic: str, number: signal.Signals, tmp_path: Path
) -> None:
    environment = os.environ | {
        "LAKEHOUSE_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "LAKEHOUSE_TOPIC": topic,
        "EVENTS_PER_SEC": "100",
        "INVALID_RATE": "0.3",
    }
    lakehouse = Path(sys.executable).with_name("lakehouse")
    command = [lakehouse, "events", "--json", "--dup-rate", "0"]
    child = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not stored(settings, topic):
            assert time.monotonic() < deadline
        child.send_signal(number)
        summary = json.loads(child.communicate(timeout=30)[0])
    finally:
        child.kill()
    assert child.returncode == 0
    assert summary["sent"] == summary["delivered"] == len(stored(settings, topic)) > 0
    assert summary["duplicates"] == summary["delivery_errors"] == 0


def test_kafka_away_for_good_is_counted_not_hidden(settings: Settings) -> None:
    nowhere = settings.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:1",
            "kafka_options": {"message.timeout.ms": "500", "socket.timeout.ms": "400"},
        }
    )
    run = Run(
        nowhere, GeneratorSettings(events_per_sec=0, max_events=5), lambda _line: None, threading.Event()
    )
    run.steady()
    summary = run.finish()
    assert (summary.delivered, summary.failed) == (0, 5)
    assert summary.first_error
    assert "delivery errors 5" in summary.text()
