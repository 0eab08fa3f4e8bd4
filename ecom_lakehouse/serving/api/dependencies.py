"""What the platform leans on, asked directly: is it there, how quick, which version."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from ecom_lakehouse.serving.api.database import Database
from ecom_lakehouse.serving.queries.connection import fetch_one
from ecom_lakehouse.serving.queries.samples import QuarantineReader
from ecom_lakehouse.settings import Settings

PATIENCE_SECONDS = 3.0
REMEMBERED_SECONDS = 5.0

Look = Callable[[], Awaitable[tuple[str | None, str]]]


class DependencyWatch:
    """Looks at every dependency at once, and at most every few seconds however many ask."""

    def __init__(self, settings: Settings, database: Database, lake: QuarantineReader) -> None:
        self._settings = settings
        self._database = database
        self._lake = lake
        self._lock = asyncio.Lock()
        self._seen: dict[str, Any] = {}
        self._seen_at = float("-inf")

    async def look(self) -> dict[str, Any]:
        """The state, latency and version of each."""
        async with self._lock:
            if time.monotonic() - self._seen_at > REMEMBERED_SECONDS:
                looks: dict[str, Look] = {
                    "postgres": self._postgres,
                    "kafka": self._kafka,
                    "lake": self._delta,
                    "dagster": self._dagster,
                }
                found = await asyncio.gather(*(_timed(name, look) for name, look in looks.items()))
                self._seen = {"checked_at": datetime.now(UTC), "dependencies": found}
                self._seen_at = time.monotonic()
            return self._seen

    async def _postgres(self) -> tuple[str | None, str]:
        async with self._database.connection() as connection:
            row = await fetch_one(connection, "select current_setting('server_version') as version")
        return row["version"], "answers"

    async def _kafka(self) -> tuple[str | None, str]:
        return await asyncio.to_thread(self._ask_kafka)

    def _ask_kafka(self) -> tuple[str | None, str]:
        from confluent_kafka.admin import AdminClient

        client = AdminClient(
            {
                **self._settings.kafka_options,
                "bootstrap.servers": self._settings.kafka_bootstrap_servers,
                "log_level": 0,
            }
        )
        cluster = client.list_topics(timeout=PATIENCE_SECONDS - 0.5)
        topic = self._settings.topic
        there = f"topic {topic} is there" if topic in cluster.topics else f"topic {topic} is missing"
        return None, f"{len(cluster.brokers)} brokers, {there}"

    async def _delta(self) -> tuple[str | None, str]:
        version = await asyncio.to_thread(self._lake.version)
        if version is None:
            return None, f"{self._settings.lake_root}: no Quarantine table yet"
        return f"quarantine version {version}", self._settings.lake_root

    async def _dagster(self) -> tuple[str | None, str]:
        import httpx

        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            answer = await client.get(f"{self._settings.dagster_internal_url}/server_info")
            answer.raise_for_status()
        return answer.json().get("dagster_version"), self._settings.dagster_internal_url


async def _timed(name: str, look: Look) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        version, detail = await asyncio.wait_for(look(), PATIENCE_SECONDS)
    except Exception as error:  # whatever is the matter with it, it is down, and says why
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return {"name": name, "state": "down", "latency_ms": None, "version": None, "detail": said[:300]}
    latency = round((time.perf_counter() - start) * 1000, 1)
    return {"name": name, "state": "up", "latency_ms": latency, "version": version, "detail": detail}
