"""The contract's hostile messages, and what must become of each."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ecom_lakehouse_tests.core.reading import NOTHING

FILE = Path(__file__).parent.parent / "vectors" / "hostile_events.jsonl"


@dataclass(frozen=True)
class Vector:
    """One message, the broker's time of it, and its fate."""

    name: str
    value: bytes | None
    broker_time: datetime
    layer: str
    codes: list[str]
    typed: dict[str, Any]


def _vector(line: str) -> Vector:
    fields = json.loads(line)
    encoded = fields["value_base64"]
    typed = NOTHING | fields["typed"]
    for name in ("event_time", "ingest_time"):
        typed[name] = typed[name] and datetime.fromisoformat(typed[name])
    typed["price"] = typed["price"] and Decimal(typed["price"])
    return Vector(
        fields["name"],
        None if encoded is None else base64.b64decode(encoded),
        datetime.fromisoformat(fields["broker_time"]),
        fields["layer"],
        fields["codes"],
        typed,
    )


VECTORS = [_vector(line) for line in FILE.read_text().splitlines()]
