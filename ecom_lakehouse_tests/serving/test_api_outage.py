"""Postgres goes away and comes back; the API stays, says so, and goes on by itself."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import psutil

from ecom_lakehouse.lake.database import migrate
from ecom_lakehouse.settings import LOCALHOST, Settings
from ecom_lakehouse.stack.child import started
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.postgres import create_roles, postgres_service
from ecom_lakehouse_tests.serving.conftest import NOON, Gold, running_api, wait_until


def test_postgres_killed_is_503_with_retry_after_and_its_return_needs_no_restart(tmp_path: Path) -> None:
    port = free_port()
    folder = tmp_path / "postgres"
    settings = Settings(_env_file=None, home=tmp_path / "home", postgres_port=port)
    service = postgres_service(folder, port)
    log = tmp_path / "postgres.log"
    with running_api(settings) as api:
        away = api.get("/kpis/latest")
        assert away.status_code == 503, "Postgres was never there"
        with started(service, log, tmp_path):
            create_roles(folder, port)
            migrate(settings)
            writer = Gold(settings)
            writer.minute(NOON, events_total=5)
            writer.connection.close()
            wait_until(lambda: api.get("/kpis/latest").status_code == 200, "the first answer")
            postmaster = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
            children = postmaster.children(recursive=True)
            for process in (postmaster, *children):
                process.send_signal(signal.SIGKILL)
            psutil.wait_procs([postmaster, *children])
            away = wait_until(lambda: _unless(api.get("/kpis/latest"), 200), "the outage")
            assert away.status_code == 503
            assert away.json()["type"] == "urn:ecom-lakehouse:problem:unavailable"
            assert int(away.headers["retry-after"]) >= 1
            assert f"{LOCALHOST}:{port}" in away.json()["detail"]
            assert "lakehouse_api:lakehouse_api" not in away.text
            assert api.get("/health").status_code == 200
            assert api.get("/ready").status_code == 503
        with started(service, log, tmp_path):
            back = wait_until(lambda: _unless(api.get("/kpis/latest"), 503), "Postgres' return")
            assert back.status_code == 200
            assert back.json()["window_start"] == "2026-01-31T12:00:00Z"
            assert api.get("/ready").status_code == 200


def _unless(answer: httpx.Response, status: int) -> httpx.Response | None:
    return None if answer.status_code == status else answer
