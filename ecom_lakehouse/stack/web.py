"""The API and the dashboard on this machine."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from ecom_lakehouse.settings import LOCALHOST, PROJECT_ROOT, Settings
from ecom_lakehouse.stack.environment import settings_environment
from ecom_lakehouse.stack.service import Service

PROBE_SECONDS = 2
DASHBOARD = PROJECT_ROOT / "ecom_lakehouse" / "serving" / "dashboard" / "app.py"


def web_services(settings: Settings, needs: Sequence[str]) -> list[Service]:
    """The API, and the dashboard that reads it."""
    environment = {**settings_environment(settings), "PYTHONUNBUFFERED": "1"}
    probed = LOCALHOST if settings.api_host in ("0.0.0.0", "::") else settings.api_host
    return [
        Service(
            name="api",
            command=[str(Path(sys.executable).with_name("lakehouse")), "api"],
            is_ready=lambda: answers(f"http://{probed}:{settings.api_port}/health"),
            port=settings.api_port,
            port_setting="LAKEHOUSE_API_PORT",
            needs=tuple(needs),
            environment=environment,
            stop_stage=1,
            stop_seconds=4.0,
        ),
        Service(
            name="dashboard",
            command=[
                sys.executable, "-m", "streamlit", "run", str(DASHBOARD),
                "--server.address", LOCALHOST, "--server.port", str(settings.dashboard_port),
                "--server.headless", "true", "--server.fileWatcherType", "none",
                "--browser.gatherUsageStats", "false",
            ],
            is_ready=lambda: answers(f"http://{LOCALHOST}:{settings.dashboard_port}/_stcore/health"),
            port=settings.dashboard_port,
            port_setting="LAKEHOUSE_DASHBOARD_PORT",
            needs=("api",),
            environment=environment,
            stop_stage=0,
            stop_seconds=5.0,
        ),
    ]  # fmt: skip


def answers(url: str) -> bool:
    """Whether a GET there is answered with 200; a proxy that the environment names is not asked."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=PROBE_SECONDS) as response:
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError, ValueError):
        return False
