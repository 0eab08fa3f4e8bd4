"""Schema drift: fields and types in the messages that the contract doesn't know, noticed while they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NEW_FIELD = "new_field"
CHANGED_TYPE = "changed_type"
LONGEST_NAME = 80
"""A longer field name is cut: names come from anybody who may write to the topic."""
MOST_KINDS = 100
"""The most kinds of drift that are counted of one slice, the frequent first."""


@dataclass(frozen=True)
class Drift:
    """One way in which messages differ from the contract, and how many of them do."""

    kind: str
    field: str
    json_type: str | None
    messages: int

    def __str__(self) -> str:
        if self.kind == NEW_FIELD:
            return f"new field {self.field}"
        return f"{self.field} came as {self.json_type}"


def new_field(name: str) -> str:
    """The note of a field that the contract doesn't name."""
    return f"{NEW_FIELD}:{name[:LONGEST_NAME]}"


def changed_type(name: str, json_type: str) -> str:
    """The note of a field that came in another JSON type than the contract's."""
    return f"{CHANGED_TYPE}:{json_type}:{name}"


def drift_counts(judged: DataFrame) -> dict[str, int]:
    """Messages by note of drift, at most `MOST_KINDS` of them; those of several slices are added up by note."""
    from pyspark.sql import functions as sf

    notes = judged.where(sf.col("drift").isNotNull()).select(sf.explode("drift").alias("note"))
    counted = notes.groupBy("note").agg(sf.count("*").alias("messages"))
    most = counted.orderBy(sf.desc("messages"), "note").limit(MOST_KINDS).toArrow()
    return dict(zip(most["note"].to_pylist(), most["messages"].to_pylist(), strict=True))


def drifts(counts: dict[str, int]) -> list[Drift]:
    """The counted notes, read back, the frequent first."""
    return [
        _read(note, messages) for note, messages in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def _read(note: str, messages: int) -> Drift:
    kind, _, rest = note.partition(":")
    if kind == NEW_FIELD:
        return Drift(kind, rest, None, messages)
    json_type, _, field = rest.partition(":")
    return Drift(kind, field, json_type, messages)
