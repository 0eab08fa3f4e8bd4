"""`python -m ecom_lakehouse.serving.api`: the API on the settings' host and port."""

from __future__ import annotations

import uvicorn

from ecom_lakehouse.serving.api import create_app
from ecom_lakehouse.settings import Settings, load_settings

SHUTDOWN_SECONDS = 5
MOST_AT_ONCE = 500


def serve(settings: Settings) -> None:
    """Answers requests until SIGINT or SIGTERM.

    Raises:
        SettingsError: it would listen beyond localhost without keys or without a rate limit.
    """
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        limit_concurrency=MOST_AT_ONCE,
    )


if __name__ == "__main__":
    serve(load_settings())
