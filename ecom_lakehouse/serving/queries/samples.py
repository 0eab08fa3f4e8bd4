"""Broken messages, as they came, out of the Quarantine table."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

from ecom_lakehouse.errors import TableError
from ecom_lakehouse.serving.queries.quality import BrokenSlices
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from ecom_lakehouse.lake.tables import LakeTable

MOST_RAW_CHARACTERS = 4000
MOST_RAW_BYTES = MOST_RAW_CHARACTERS // 4 * 3
COLUMNS = (
    "validation_errors",
    "raw_json",
    "raw_value",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "kafka_key",
    "kafka_timestamp",
    "event_id",
    "event_type",
    "source",
    "processing_time",
    "slice_id",
)


class QuarantineReader:
    """The Quarantine table, opened once and brought up to date at each question; one question at a time.

    Everything here blocks: call it on a thread.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: LakeTable | None = None
        self._lock = threading.Lock()

    def version(self) -> int | None:
        """The table's newest version; None while there is no table."""
        with self._lock:
            try:
                return int(self._table().delta().version())
            except TableError:
                return None

    def samples(self, where: BrokenSlices, rule: str | None, limit: int) -> list[dict[str, Any]]:
        """At most `limit` messages of those slices that break the rule, the newest slice first.

        Opens only files of that hour that may hold those slices. `rule` is a code of the catalogue.
        """
        wanted = ", ".join(str(int(slice_id)) for slice_id in where.slice_ids)
        condition = (
            f"ingest_date = date '{where.hour:%Y-%m-%d}' and ingest_hour = {where.hour.hour}"
            f" and slice_id in ({wanted})"
        )
        if rule is not None:
            condition += f" and array_has(validation_errors, '{rule}')"
        with self._lock:
            try:
                found = self._table().arrow(COLUMNS, condition, limit).to_pylist()
            except TableError:
                return []
        found.sort(key=lambda row: (-row["slice_id"], row["kafka_partition"], row["kafka_offset"]))
        return [_view(row) for row in found]

    def _table(self) -> LakeTable:
        # here, not above: the tables bring the engine along, which the API's start need not wait for
        from ecom_lakehouse.lake.tables import Lake

        if self._opened is None:
            self._opened = Lake(self._settings).quarantine
        return self._opened


def _view(row: dict[str, Any]) -> dict[str, Any]:
    text, raw = row.pop("raw_json"), row.pop("raw_value")
    return {
        **row,
        "raw_json": None if text is None else text[:MOST_RAW_CHARACTERS],
        "raw_base64": None if raw is None else base64.b64encode(raw[:MOST_RAW_BYTES]).decode(),
        "truncated": len(text or "") > MOST_RAW_CHARACTERS or len(raw or b"") > MOST_RAW_BYTES,
    }
