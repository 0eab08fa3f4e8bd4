"""The server that the API runs on."""

from __future__ import annotations

import uvicorn

from ecom_lakehouse.serving.api.app import create_app
from ecom_lakehouse.settings import Settings

SHUTDOWN_SECONDS = 3
MOST_AT_ONCE = 500


def api_server(settings: Settings, port: int | None = None) -> uvicorn.Server:
    """A server of the API on the settings' host and port, or on another port (0: a free one).

    Raises:
        SettingsError: it would listen beyond localhost without keys or without a rate limit.
    """
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port if port is None else port,
            log_level="warning",
            access_log=False,
            server_header=False,
            # A stream never ends by itself: it is cut off, and its listener comes back with Last-Event-ID.
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            limit_concurrency=MOST_AT_ONCE,
        )
    )


def serve(settings: Settings) -> None:
    """Answers requests until SIGINT or SIGTERM.

    Raises:
        SettingsError: as `api_server`.
    """
    api_server(settings).run()
