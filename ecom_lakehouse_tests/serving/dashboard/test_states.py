"""What the dashboard says when there is little to show, on the real API, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ecom_lakehouse.settings import Settings, load_settings
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.web import DASHBOARD
from ecom_lakehouse_tests.serving.conftest import Gold, running_api

MINUTE = timedelta(minutes=1)
Opened = Callable[[], AppTest]


@pytest.fixture
def opened(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens the Live page on an API over the test's own database."""
    with running_api(settings) as served:
        yield lambda: _app(str(served.base_url), monkeypatch)
    _forget()


def _app(url: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("LAKEHOUSE_API_URL", url)
    _forget()
    app = AppTest.from_file(str(DASHBOARD), default_timeout=90).run()
    assert not app.exception
    return app


def _forget() -> None:
    load_settings.cache_clear()
    st.cache_resource.clear()


def said(app: AppTest) -> str:
    return "\n".join(one.value for one in (*app.error, *app.warning, *app.info))


def test_before_the_first_event_it_says_how_to_send_some(opened: Opened) -> None:
    app = opened()
    assert "No events yet" in said(app)
    assert "make events" in said(app)
    assert not app.metric


def test_a_range_without_events_says_of_when_the_newest_is(opened: Opened, gold: Gold) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    gold.minute(now - timedelta(days=2), events_total=5)
    assert "No events in this range" in said(opened())


def test_stale_data_says_how_old_it_is_and_what_to_look_at(opened: Opened, gold: Gold) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    gold.minute(now - 20 * MINUTE, events_total=5)
    gold.run("update lake.looks set caught_up_at = %s, looked_at = %s", now - 15 * MINUTE, now)
    app = opened()
    assert "The newest data is 15 min" in said(app)
    assert "make status" in said(app)
    assert any("Stale" in one.value for one in app.markdown)


def test_a_paused_pipeline_says_how_to_let_it_go_on(opened: Opened, gold: Gold) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    gold.minute(now - 20 * MINUTE, events_total=5)
    gold.run(
        "update lake.looks set caught_up_at = %s, paused_by = 'ana', paused_at = now()", now - 15 * MINUTE
    )
    assert "lakehouse resume" in said(opened())


def test_a_retracted_alert_is_listed_and_stands_on_no_chart(opened: Opened, gold: Gold) -> None:
    start = datetime.now(UTC).replace(second=0, microsecond=0) - 20 * MINUTE
    gold.minute(start, events_total=5)
    gold.reached(start + 19 * MINUTE)
    gold.alert("stands", window_start=start, last_window=start, metric="events_total")
    gold.alert("went", window_start=start, last_window=start, metric="events_total", state="retracted")
    app = opened()
    assert "1 alert on it in this range" in "\n".join(one.value for one in app.caption)
    assert "Retracted" in "\n".join(one.value for one in app.markdown)


def test_an_api_that_is_away_is_named_with_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    app = _app(url, monkeypatch)
    assert "The API does not answer" in said(app)
    assert url in said(app)
    assert "make run" in said(app)
    _forget()
