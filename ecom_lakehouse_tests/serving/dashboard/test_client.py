"""The API as the dashboard asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import httpx
import pytest

from ecom_lakehouse.serving.dashboard.client import Api, ApiAwayError, ApiRefusedError
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse_tests.serving.conftest import MINUTE, NOON, Gold, running_api


@pytest.fixture
def client(api: httpx.Client, settings: Settings) -> Iterator[Api]:
    with closing(Api(settings.model_copy(update={"api_url": str(api.base_url)}))) as client:
        yield client


def test_an_answer_that_has_not_changed_is_not_sent_twice(client: Api, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    statuses: list[int] = []
    client._client.event_hooks["response"] = [lambda response: statuses.append(response.status_code)]
    question = {"metric": "events_total", "from_": NOON, "to": NOON + MINUTE}
    first, second = client.get("/kpis", **question), client.get("/kpis", **question)
    assert first == second
    gold.minute(NOON, events_total=6)
    assert client.get("/kpis", **question)["data"][0]["value"] == 6
    assert statuses == [200, 304, 200]


def test_pages_are_put_together(client: Api, gold: Gold) -> None:
    for place in range(6):
        gold.minute(NOON + place * MINUTE, events_total=place)
    rows = client.pages("/kpis", metric="events_total", from_=NOON, to=NOON + timedelta(minutes=6), limit=2)
    assert [row["value"] for row in rows] == [0, 1, 2, 3, 4, 5]


def test_a_refusal_says_why_and_what_to_do(client: Api) -> None:
    with pytest.raises(ApiRefusedError, match=r"nonsense.*is no metric"):
        client.get("/kpis", metric="nonsense")


def test_nobody_there_is_said_to_be_away(settings: Settings) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    api = Api(settings.model_copy(update={"api_url": url}))
    with closing(api) as client, pytest.raises(ApiAwayError, match=f"{url} does not answer"):
        client.get("/pipeline")


def test_an_api_without_its_database_is_away_too(settings: Settings) -> None:
    lost = settings.model_copy(
        update={"api_postgres_url": f"postgresql://nobody@127.0.0.1:{free_port()}/none"}
    )
    with running_api(lost) as served:
        api = Api(lost.model_copy(update={"api_url": str(served.base_url)}))
        with closing(api) as client, pytest.raises(ApiAwayError, match="Postgres"):
            client.get("/pipeline")


def test_csv_is_the_same_answer_as_a_table(client: Api, gold: Gold) -> None:
    gold.minute(NOON, events_total=5)
    text = client.csv("/kpis", metric="events_total", from_=NOON, to=NOON + MINUTE).decode()
    assert text.splitlines()[1].startswith("2026-01-31T12:00:00Z,events_total,5")
