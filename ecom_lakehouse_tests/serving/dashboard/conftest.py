"""A dashboard as `make run` starts it, on a real API and a Postgres with two days of a shop's life."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.child import started
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.service import Service
from ecom_lakehouse.stack.web import web_services
from ecom_lakehouse_tests.conftest import TEMPLATE, PostgresServer
from ecom_lakehouse_tests.serving.dashboard import history

CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 100_000
DAYS = 2.0


@dataclass
class Dashboard:
    """The running dashboard, and the API that it reads, which can be taken away and brought back."""

    settings: Settings
    folder: Path
    _api: Service
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Where the browser finds it."""
        return self.settings.dashboard_url

    def start_api(self) -> None:
        """Starts the API, on the port it always has."""
        self._running.enter_context(started(self._api, self.folder / "api.log", self.folder))

    def stop_api(self) -> None:
        """Ends the API."""
        self._running.close()


@pytest.fixture(scope="module")
def shop(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a platform whose database and lake hold two days."""
    name = "dashboard"
    api_port, dashboard_port = free_port(), free_port()
    with psycopg.connect(postgres_server.administrator_url(), autocommit=True) as connection:
        connection.execute(f"create database {name} owner app template {TEMPLATE}")
        settings = Settings(
            _env_file=None,
            home=tmp_path_factory.mktemp("dashboard"),
            postgres_url=postgres_server.url(name),
            api_postgres_url=postgres_server.url(name, role="lakehouse_api"),
            api_port=api_port,
            dashboard_port=dashboard_port,
            stale_after_seconds=7200,  # the tests' own slowness makes nothing stale
        )
        now = datetime.now(UTC)
        history.fill(settings, now, DAYS)
        history.caught_up(settings, now)
        yield settings
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def dashboard(shop: Settings) -> Iterator[Dashboard]:
    """The dashboard on its API, both started as the stack starts them."""
    api, streamlit = web_services(shop, needs=())
    running = Dashboard(shop, shop.home, api)
    running.start_api()
    try:
        with started(streamlit, shop.home / "streamlit.log", shop.home):
            yield running
    finally:
        running.stop_api()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a head."""
    program = shutil.which("chromium")
    assert program, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh visitor in Berlin."""
    visitor = chromium.new_context(
        viewport={"width": 1440, "height": 1000}, timezone_id="Europe/Berlin", accept_downloads=True
    )
    visitor.set_default_timeout(PATIENCE_MS)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty tab."""
    return context.new_page()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is on this machine."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
