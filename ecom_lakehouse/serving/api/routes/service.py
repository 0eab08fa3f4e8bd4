"""`/health`, `/ready`, `/deps`, `/metrics`: how the API itself is."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from ecom_lakehouse.serving.api.answers import uncached
from ecom_lakehouse.serving.api.deps import AppDatabase, AppSettings
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import Dependencies, Health, Ready
from ecom_lakehouse.serving.api.problems import schema_missing
from ecom_lakehouse.serving.queries.freshness import freshness
from ecom_lakehouse.serving.queries.schema import schema_version

VERSION = version("ecom-lakehouse")

router = APIRouter()


@router.get("/health", **gives(Health))
async def read_health() -> Response:
    """The process is alive; nothing else is asked."""
    return uncached({"status": "ok", "version": VERSION})


@router.get("/ready", **gives(Ready))
async def read_ready(settings: AppSettings, database: AppDatabase) -> Response:
    """Postgres answers and has the tables that the API needs. Stale data is an answer: `fresh: false`."""
    async with database.connection() as connection:
        found = await schema_version(connection)
        if found is None:
            raise schema_missing("The database's schema is older than this API.")
        trust = await freshness(connection, settings)
    return uncached(
        {
            "status": "ready",
            "schema_version": found,
            "fresh": trust.is_fresh,
            "data_as_of": trust.reached_gold_at,
        }
    )


@router.get("/deps", **gives(Dependencies))
async def read_dependencies(request: Request) -> Response:
    """Postgres, Kafka, the lake and Dagster: state, latency, version; each is asked directly."""
    return uncached(await request.app.state.watch.look())


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
async def read_metrics(request: Request, settings: AppSettings, database: AppDatabase) -> Response:
    """The API's and the pipeline's numbers, for Prometheus."""
    state = request.app.state
    page = await state.metrics.page(settings, database, state.feed.listeners)
    return Response(page, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST})
