"""Reading Quarantine for people: which rules were broken where and by whom, and the messages themselves."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ecom_lakehouse.lake import delta_sql
from ecom_lakehouse.lake.delta_sql import ingested_in, text
from ecom_lakehouse.lake.tables import LakeTable

UNKNOWN_SOURCE = "(none)"
"""The producer of a message whose field `source` can't be read."""

COORDINATES = "kafka_topic, kafka_partition, kafka_offset, kafka_timestamp"


@dataclass(frozen=True)
class Selection:
    """Which quarantined messages are meant; what is None does not matter."""

    rule: str | None = None
    hour: datetime | None = None
    since: datetime | None = None
    source: str | None = None
    slice_id: int | None = None

    @property
    def condition(self) -> str:
        """The same in SQL; the partitions and the slice come first, so that other files are not read."""
        conditions = []
        if self.hour is not None:
            conditions.append(f"({ingested_in(self.hour)})")
        if self.since is not None:
            conditions.append(
                f"(ingest_date > date '{self.since:%Y-%m-%d}' or"
                f" (ingest_date = date '{self.since:%Y-%m-%d}' and ingest_hour >= {self.since.hour}))"
            )
        if self.slice_id is not None:
            conditions.append(f"slice_id = {self.slice_id}")
        if self.source is not None:
            conditions.append(f"coalesce(source, {text(UNKNOWN_SOURCE)}) = {text(self.source)}")
        if self.rule is not None:
            conditions.append(f"array_has(validation_errors, {text(self.rule)})")
        return " and ".join(conditions) or "true"


@dataclass(frozen=True)
class Group:
    """Quarantined messages of one hour, rule and producer; a message that breaks two rules is in two groups."""

    hour: datetime
    rule: str
    source: str
    messages: int
    newest: datetime


def groups(quarantine: LakeTable, selection: Selection) -> list[Group]:
    """How many messages were quarantined by hour, rule and producer, the newest hour first."""
    answer = delta_sql.query(
        {"quarantine": quarantine},
        f"select ingest_date, ingest_hour, rule, producer, count(*) as messages, max(kafka_timestamp) as newest from"
        f" (select ingest_date, ingest_hour, kafka_timestamp, unnest(validation_errors) as rule,"
        f"  coalesce(source, {text(UNKNOWN_SOURCE)}) as producer from quarantine where {selection.condition})"
        f" {'where rule = ' + text(selection.rule) if selection.rule else ''}"
        f" group by ingest_date, ingest_hour, rule, producer"
        f" order by ingest_date desc, ingest_hour desc, messages desc, rule, producer",
    )
    return [
        Group(
            _hour(row["ingest_date"], row["ingest_hour"], row["newest"]),
            row["rule"],
            row["producer"],
            row["messages"],
            row["newest"],
        )
        for row in answer.to_pylist()
    ]


def messages(quarantine: LakeTable, selection: Selection, limit: int) -> list[dict[str, Any]]:
    """At most `limit` messages in the order of their coordinates, as JSON values.

    Coordinates, key and headers, the codes, and the value: `raw` where it is text, else `raw_base64` (neither for
    a tombstone); key and header values likewise.
    """
    answer = delta_sql.query(
        {"quarantine": quarantine},
        f"select {COORDINATES}, kafka_key, kafka_key_raw, kafka_headers, validation_errors, source, event_id,"
        f" slice_id, raw_json, raw_value from quarantine where {selection.condition}"
        f" order by kafka_timestamp, kafka_partition, kafka_offset limit {limit}",
    )
    return [_as_json(row) for row in answer.to_pylist()]


def sources(quarantine: LakeTable, selection: Selection) -> dict[str, int]:
    """Messages by producer, the busiest first."""
    answer = delta_sql.query(
        {"quarantine": quarantine},
        f"select coalesce(source, {text(UNKNOWN_SOURCE)}) as source, count(*) as messages from quarantine"
        f" where {selection.condition} group by 1 order by 2 desc, 1 limit 10",
    )
    return {row["source"]: row["messages"] for row in answer.to_pylist()}


def _hour(day: Any, hour: int, newest: datetime) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=newest.tzinfo) + timedelta(hours=hour)


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "kafka_topic": row["kafka_topic"],
        "kafka_partition": row["kafka_partition"],
        "kafka_offset": row["kafka_offset"],
        "kafka_timestamp": row["kafka_timestamp"].isoformat(),
        **dict(_text_or_bytes("key", row["kafka_key"], row["kafka_key_raw"])),
        "headers": [
            {"name": each["key"], "value_base64": _base64(each["value"])}
            for each in row["kafka_headers"] or []
        ],
        "validation_errors": row["validation_errors"],
        "source": row["source"],
        "event_id": row["event_id"],
        "slice_id": row["slice_id"],
        **dict(_text_or_bytes("raw", row["raw_json"], row["raw_value"])),
    }


def _text_or_bytes(
    name: str, as_text: str | None, as_bytes: bytes | None
) -> Iterator[tuple[str, str | None]]:
    if as_bytes is not None:
        yield f"{name}_base64", _base64(as_bytes)
    else:
        yield name, as_text


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
