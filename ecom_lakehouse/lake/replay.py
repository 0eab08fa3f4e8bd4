"""Repaired messages back onto the topic: read from an exported file, judged, sent with where they came from."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ecom_lakehouse.core.contract import Limits
from ecom_lakehouse.core.judgement import judged_values
from ecom_lakehouse.core.parse import TIMESTAMP_TYPE, split_text
from ecom_lakehouse.errors import ReplayError
from ecom_lakehouse.lake.kafka_clients import client_options
from ecom_lakehouse.settings import Settings

HEADER_PREFIX = "lakehouse-replay"
DELIVERY_SECONDS = 60
MOST_NAMED = 10


@dataclass(frozen=True)
class Repaired:
    """One line of an exported file: what to send, and what it was when it was quarantined."""

    line: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    origin: str
    codes: list[str]


def read_repaired(path: Path) -> list[Repaired]:
    """The messages of a file that `lakehouse quarantine --export` wrote and a person repaired, in its order.

    Raises:
        ReplayError: a line is not such a message; names it.
    """
    repaired = []
    for number, text in enumerate(path.read_text().split("\n"), start=1):
        if not text.strip():
            continue
        try:
            repaired.append(_repaired(number, json.loads(text)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReplayError(
                f"{path}, line {number} is no exported message ({type(error).__name__}: {error}); nothing was sent. "
                "Edit only `raw` of what `lakehouse quarantine --export` wrote, one JSON object a line."
            ) from error
    return repaired


def require_repaired(messages: Sequence[Repaired], settings: Settings) -> None:
    """Every message keeps all rules now.

    Raises:
        ReplayError: some still break one; names their lines and rules, and nothing was sent.
    """
    broken = [
        f"line {message.line} ({', '.join(codes)})"
        for message, codes in zip(messages, broken_codes(messages, settings), strict=True)
        if codes
    ]
    if broken:
        more = f" and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
        raise ReplayError(
            f"{len(broken)} of {len(messages)} messages still break a rule and would be quarantined again: "
            f"{'; '.join(broken[:MOST_NAMED])}{more}. Nothing was sent; repair these lines or take them out."
        )


def broken_codes(messages: Sequence[Repaired], settings: Settings) -> list[list[str]]:
    """The rules that each message would break if it reached the broker now."""
    raw_json, raw_value = split_text(pa.array([message.value for message in messages], pa.binary()))
    now = pa.repeat(pa.scalar(datetime.now(UTC), TIMESTAMP_TYPE), len(messages))
    limits = Limits(
        future=timedelta(minutes=settings.future_limit_minutes), age=timedelta(days=settings.age_limit_days)
    )
    codes: list[list[str]] = judged_values(raw_json, raw_value, now, limits)[1].to_pylist()
    return codes


def send(messages: Sequence[Repaired], settings: Settings) -> int:
    """Sends the messages to the topic, each under its own key, and waits until Kafka has confirmed all of them.

    Each keeps its headers and gets three more: where it was read from, which rules it broke, when it was sent
    again. Sent twice it is counted once: its event_id is the same.

    Raises:
        ReplayError: Kafka did not confirm all; says how many it did.
    """
    confirmed = 0
    problems: list[str] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        nonlocal confirmed
        if error is None:
            confirmed += 1
        else:
            problems.append(error.str())

    producer = Producer({**client_options(settings), "enable.idempotence": True, "log_level": 0})
    now = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
    try:
        for message in messages:
            headers: list[tuple[str, str | bytes | None]] = [
                *(header for header in message.headers if not header[0].startswith(HEADER_PREFIX)),
                (f"{HEADER_PREFIX}-of", message.origin.encode()),
                (f"{HEADER_PREFIX}-codes", ",".join(message.codes).encode()),
                (f"{HEADER_PREFIX}-at", now),
            ]
            _produce(producer, settings.topic, message, headers, on_delivery)
        producer.flush(DELIVERY_SECONDS)
    except KafkaException as error:
        problems.append(error.args[0].str())
    if confirmed < len(messages):
        raise ReplayError(
            f"Kafka at {settings.kafka_bootstrap_servers} confirmed {confirmed} of {len(messages)} messages for "
            f"{settings.topic} ({problems[0] if problems else f'nothing for {DELIVERY_SECONDS} s'}). Replay the same "
            "file again: what arrived twice is counted once."
        )
    return confirmed


def _produce(
    producer: Producer,
    topic: str,
    message: Repaired,
    headers: list[tuple[str, str | bytes | None]],
    on_delivery: Any,
) -> None:
    while True:
        try:
            producer.produce(topic, message.value, message.key, headers=headers, on_delivery=on_delivery)
            return
        except BufferError:
            producer.poll(0.1)


def _repaired(line: int, row: dict[str, Any]) -> Repaired:
    return Repaired(
        line=line,
        key=_bytes(row, "key"),
        value=_bytes(row, "raw"),
        headers=[(each["name"], _decoded(each["value_base64"])) for each in row["headers"]],
        origin=f"{row['kafka_topic']}/{int(row['kafka_partition'])}/{int(row['kafka_offset'])}",
        codes=[str(code) for code in row["validation_errors"]],
    )


def _bytes(row: dict[str, Any], name: str) -> bytes | None:
    if f"{name}_base64" in row:
        return _decoded(row[f"{name}_base64"])
    text = row[name]
    return None if text is None else text.encode()


def _decoded(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value, validate=True)
