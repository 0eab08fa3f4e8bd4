"""The app: routes under `/v1` and for short, one pool, one feed, one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from ecom_lakehouse.serving.api import problems
from ecom_lakehouse.serving.api.database import Database
from ecom_lakehouse.serving.api.dependencies import DependencyWatch
from ecom_lakehouse.serving.api.deps import known_parameters
from ecom_lakehouse.serving.api.documents import DESCRIPTION, with_problem_schema
from ecom_lakehouse.serving.api.envelope import Envelope
from ecom_lakehouse.serving.api.metrics import ApiMetrics
from ecom_lakehouse.serving.api.routes import alerts, bands, kpis, pipeline, quality, service, stream
from ecom_lakehouse.serving.api.security import Gate, refuse_unsafe
from ecom_lakehouse.serving.api.sharing import SharedAnswers
from ecom_lakehouse.serving.api.stream import Feed
from ecom_lakehouse.serving.queries.samples import QuarantineReader
from ecom_lakehouse.settings import Settings, load_settings

SUBJECTS = {
    "KPIs": (stream.router, bands.router, kpis.router),
    "Alerts": (alerts.router,),
    "Quality": (quality.router,),
    "Pipeline": (pipeline.router,),
    "Service": (service.router,),
}
COMPRESSED_FROM_BYTES = 1000


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API on these settings (by default the process's own); it needs no Postgres to start.

    Raises:
        SettingsError: it would listen beyond localhost without keys or without a rate limit.
    """
    settings = settings or load_settings()
    refuse_unsafe(settings)
    database, metrics = Database(settings), ApiMetrics()
    lake = QuarantineReader(settings)
    feed = Feed(settings, database)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await database.open()
        yield
        feed.close()
        await database.close()

    app = FastAPIOffline(
        redoc_url=None,
        title="E-commerce lakehouse",
        version=service.VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
    )
    app.state.settings, app.state.database, app.state.metrics = settings, database, metrics
    app.state.lake, app.state.feed = lake, feed
    app.state.watch = DependencyWatch(settings, database, lake)
    for prefix, tags in (("/v1", None), ("", ["Short forms"])):
        for subject, routers in SUBJECTS.items():
            for router in routers:
                app.include_router(
                    router,
                    prefix=prefix,
                    tags=list(tags or [subject]),
                    dependencies=[Depends(known_parameters)],
                )
    app.add_exception_handler(problems.ApiProblem, problems.problem_response)
    app.add_exception_handler(RequestValidationError, problems.invalid_request)
    app.add_exception_handler(HTTPException, problems.http_error)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM_BYTES, compresslevel=5)
    app.add_middleware(SharedAnswers)
    app.add_middleware(Envelope, gate=Gate(settings), metrics=metrics)
    _describe(app, keys=bool(settings.api_keys))
    return app


def _describe(app: FastAPI, *, keys: bool) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            app.openapi_schema = with_problem_schema(made, keys=keys)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
