"""`/pipeline`: where the data is on its way."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from ecom_lakehouse.serving.api.answers import uncached
from ecom_lakehouse.serving.api.deps import AppDatabase, AppSettings
from ecom_lakehouse.serving.api.documents import gives
from ecom_lakehouse.serving.api.models import Pipeline
from ecom_lakehouse.serving.queries.pipeline import pipeline

router = APIRouter()


@router.get("/pipeline", **gives(Pipeline))
async def read_pipeline(
    settings: AppSettings,
    database: AppDatabase,
    limit: Annotated[int, Query(ge=1, le=500, description="The most slices.")] = 20,
) -> Response:
    """Lag, slices through the layers, what is held and why, and checks that fail."""
    async with database.connection() as connection:
        return uncached(await pipeline(connection, settings, limit))
