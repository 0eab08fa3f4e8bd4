"""The pipeline as tests drive it: the real controller and assets, in this process, on the test's own servers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import dagster as dg
import pytest

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings, load_settings

# Dagster's definitions read the settings once, when they are imported; partitions must reach back far enough.
with pytest.MonkeyPatch.context() as patch:
    patch.setenv("LAKEHOUSE_START_HOUR", "2026-01-01T00:00:00Z")
    load_settings.cache_clear()
    from ecom_lakehouse.defs import assets, sensors
    from ecom_lakehouse.defs.partitions import partition_key
    from ecom_lakehouse.defs.resources import writer_of
    from ecom_lakehouse.defs.work import slices_tag
load_settings.cache_clear()

ASSETS = [assets.kafka_topic, assets.bronze_events, assets.silver_and_quarantine, assets.kpi_minute]


def event(event_type: str = "click", **changes: Any) -> dict[str, Any]:
    """An event that keeps the contract, of now; `changes` replace fields."""
    now = datetime.now(UTC)
    buys = event_type in ("add_to_cart", "purchase")
    return {
        "event_id": str(uuid.uuid4()),
        "event_version": 1,
        "event_type": event_type,
        "event_time": iso(now),
        "ingest_time": iso(now),
        "user_id": "user_0001",
        "session_id": str(uuid.uuid4()),
        "product_id": None if event_type == "checkout" else "sku_00042",
        "quantity": 2 if buys else None,
        "price": 19.99 if buys else None,
        "currency": "EUR" if buys else None,
        "order_id": "ord_0123456789" if event_type == "purchase" else None,
        "source": "test",
    } | changes


def iso(moment: datetime) -> str:
    """A moment as the contract writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def message(content: dict[str, Any] | bytes | None) -> tuple[bytes | None, bytes | None]:
    """Key and value of an event, or of raw bytes."""
    if content is None or isinstance(content, bytes):
        return b"user_0001", content
    return str(content["user_id"]).encode(), json.dumps(content).encode()


@dataclass
class Pipeline:
    """One pipeline on its own database, topic and lake."""

    settings: Settings
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @property
    def lake(self) -> Lake:
        """The tables as they are now."""
        return Lake(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """A ledger on a connection of the test's own."""
        return Ledger(connect(self.settings, autocommit=True))

    def tick(self) -> sensors.Work | str:
        """One tick of the controller."""
        return sensors.next_work(self.instance, self.ledger, self.settings)

    def plan(self) -> list[Slice]:
        """Plans what the topic holds, as if the next minute's mark had come."""
        self.at_next_mark()
        work = self.tick()
        assert isinstance(work, sensors.Work), work
        return work.slices

    def at_next_mark(self) -> None:
        """Moves every plan an hour back in time: the marks of the minutes since have all come."""
        self.ledger.connection.execute(
            "update lake.slices set planned_at = planned_at - interval '2 minutes'"
        )

    def run(
        self, slices: Sequence[Slice], selection: Sequence[dg.AssetKey] | None = None, *, fails: bool = False
    ) -> dg.ExecuteInProcessResult:
        """A run as the sensor requests it."""
        return self._materialize(slices[0].hour, slices_tag(list(slices)), selection, fails=fails)

    def rebuild(
        self, hour: datetime, selection: Sequence[dg.AssetKey] | None = None, *, fails: bool = False
    ) -> dg.ExecuteInProcessResult:
        """A run as somebody starts it who presses Materialize on an hour."""
        return self._materialize(hour, {}, selection, fails=fails)

    def ingest(self) -> list[Slice]:
        """Plans a slice and runs it through all layers."""
        slices = self.plan()
        self.run(slices)
        return slices

    def finish(self) -> None:
        """Ticks and runs until nothing is undone; back-off does not wait."""
        for _ in range(20):
            self.ledger.connection.execute("update lake.slices set next_attempt_at = null")
            work = self.tick()
            if isinstance(work, str):
                return
            self.run(work.slices, work.selection)
        raise AssertionError("The controller finds no end.")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's rows in the order of their coordinates."""
        found = getattr(self.lake, table).arrow().to_pylist()
        return sorted(found, key=lambda row: (row["kafka_partition"], row["kafka_offset"]))

    def kpis(self) -> dict[datetime, dict[str, Decimal]]:
        """Gold, by minute and metric."""
        kpis: dict[datetime, dict[str, Decimal]] = {}
        for row in self.ledger.connection.execute("select * from serving.kpi_minute").fetchall():
            kpis.setdefault(row["window_start"], {})[row["metric"]] = row["value"]
        return kpis

    def kpi(self, metric: str) -> Decimal:
        """The metric's sum over all minutes."""
        return sum((values[metric] for values in self.kpis().values()), Decimal(0))

    def close(self) -> None:
        """Ends what the pipeline has open."""
        self.ledger.connection.close()
        self.instance.dispose()

    def _materialize(
        self,
        hour: datetime,
        tags: dict[str, str],
        selection: Sequence[dg.AssetKey] | None,
        *,
        fails: bool,
    ) -> dg.ExecuteInProcessResult:
        result = dg.materialize(
            ASSETS,
            partition_key=partition_key(hour),
            instance=self.instance,
            tags=tags,
            selection=None if selection is None else dg.AssetSelection.assets(*selection),
            resources={"writer": writer_of(self.settings)},
            raise_on_error=not fails,
        )
        assert result.success is not fails
        return result


def minute_ago(minutes: float) -> str:
    """A moment so many minutes ago, as the contract writes it."""
    return iso(datetime.now(UTC) - timedelta(minutes=minutes))
