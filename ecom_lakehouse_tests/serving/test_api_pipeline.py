"""`/pipeline`, and how the API itself is: `/health`, `/ready`, `/deps`, `/metrics`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.conftest import Gold, running_api


def now() -> datetime:
    return datetime.now(UTC)


def test_an_empty_ledger_is_an_empty_pipeline(api: httpx.Client) -> None:
    found = api.get("/pipeline").json()
    assert found["slices"] == found["held"] == found["failing_checks"] == []
    assert found["lag"]["messages"] == 0
    assert found["data_as_of"] is None


def test_the_pipeline_tells_lag_slices_and_what_is_held_and_why(api: httpx.Client, gold: Gold) -> None:
    gold.slice(
        now() - timedelta(minutes=3),
        bronze_rows=100,
        silver_rows=90,
        quarantine_rows=10,
        run_id="run-1",
        bronze_seconds=0.5,
    )
    gold.slice(
        now() - timedelta(minutes=2), state="bronze", held_reason="event_id is not unique", last_error="x"
    )
    gold.slice(now() - timedelta(minutes=1), state="planned")
    gold.run("insert into lake.topic_progress values ('t', 0, 0, 350, 300, now())")
    gold.run("insert into lake.lost_offsets values (1, 0, 5, 8, now())")
    gold.run("insert into lake.dirty_minutes values (date_trunc('minute', now(), 'UTC'), 2)")
    gold.run("update lake.looks set paused_by = 'ana', blocked = 'the topic was made anew'")
    found = api.get("/pipeline", params={"limit": 2}).json()
    assert [item["slice_id"] for item in found["slices"]] == [3, 2]
    assert found["slices_by_state"] == {"done": 1, "held": 1, "planned": 1}
    assert [(item["slice_id"], item["held_reason"]) for item in found["held"]] == [
        (2, "event_id is not unique")
    ]
    lag = found["lag"]
    assert (lag["waiting"], lag["in_flight"], lag["messages"]) == (50, 200, 250)
    assert lag["partitions"] == [
        {"kafka_partition": 0, "earliest_offset": 0, "end_offset": 350, "position": 300, "waiting": 50}
    ]
    assert 170 < lag["seconds"] < 250
    assert (found["lost_messages"], found["dirty_minutes"]) == (3, 1)
    assert (found["paused"], found["blocked"]) == (True, "the topic was made anew")


def test_a_slice_links_to_its_run_and_names_its_partition(
    api: httpx.Client, gold: Gold, settings: Settings
) -> None:
    planned = datetime(2026, 1, 31, 12, 5, tzinfo=UTC)
    gold.slice(planned, run_id="run-1", bronze_rows=7, bronze_seconds=0.5)
    (found,) = api.get("/pipeline").json()["slices"]
    assert found["partition_key"] == "2026-01-31-12:00"
    assert found["run_url"] == f"{settings.dagster_url}/runs/run-1"
    assert found["rows"] == {"bronze": 7, "silver": None, "quarantine": None, "duplicate": None, "late": None}
    assert found["seconds"] == {"bronze": 0.5, "silver": None, "gold": None}


def test_checks_that_fail_are_listed_and_those_that_pass_are_not(api: httpx.Client, gold: Gold) -> None:
    hour = now().replace(minute=0, second=0, microsecond=0)
    for name, passed in (("event_id_unique", False), ("no_offsets_lost", True)):
        gold.run(
            "insert into lake.checks (planned_hour, asset, check_name, passed, severity, blocking, description)"
            " values (%s, 'silver_events', %s, %s, 'error', true, 'what to do')",
            hour,
            name,
            passed,
        )
    (failing,) = api.get("/pipeline").json()["failing_checks"]
    assert (failing["check_name"], failing["blocking"]) == ("event_id_unique", True)
    assert failing["url"].endswith("/assets/silver_events?view=checks")


def test_alive_says_the_version_and_asks_nobody(settings: Settings) -> None:
    with running_api(
        settings.model_copy(update={"api_postgres_url": "postgresql://nobody@127.0.0.1:1/x"})
    ) as api:
        assert api.get("/health").json()["status"] == "ok"


def test_ready_is_about_the_schema_and_stale_data_is_an_answer(api: httpx.Client, gold: Gold) -> None:
    gold.reached(now() - timedelta(days=1))
    answer = api.get("/ready")
    assert answer.status_code == 200
    assert answer.json()["fresh"] is False


def test_a_database_without_the_tables_is_not_ready(settings: Settings, gold: Gold) -> None:
    empty = settings.api_postgres_url.rpartition("/")[0] + "/postgres"
    with running_api(settings.model_copy(update={"api_postgres_url": empty})) as api:
        answer = api.get("/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "make run" in answer.json()["what_to_do"]
        assert api.get("/kpis/latest").status_code == 503


def test_each_dependency_is_asked_and_says_how_it_is(api: httpx.Client, topic: str) -> None:
    found = {item["name"]: item for item in api.get("/deps").json()["dependencies"]}
    assert found["postgres"]["state"] == "up"
    assert found["postgres"]["version"].startswith("1")
    assert found["kafka"]["state"] == "up"
    assert f"topic {topic} is there" in found["kafka"]["detail"]
    assert found["lake"]["state"] == "up"
    assert "no Quarantine table yet" in found["lake"]["detail"]
    assert found["dagster"]["state"] == "down"
    assert found["dagster"]["detail"]


def samples_of(page: str) -> dict[str, Any]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_prometheus_reads_the_pipeline_and_the_requests(api: httpx.Client, gold: Gold) -> None:
    number = gold.slice(now(), bronze_rows=100, silver_rows=90, quarantine_rows=10, gold_seconds=0.25)
    gold.run("insert into lake.slice_rules (slice_id, code, rows) values (%s, 'malformed_json', 10)", number)
    gold.slice(now(), state="planned")
    gold.alert("a", severity="critical")
    api.get("/kpis/latest")
    api.get("/alerts/one-of-many")
    found = samples_of(api.get("/metrics").text)
    assert found["lakehouse_postgres_up"] == 1
    assert found["lakehouse_lag_messages"] == 100
    assert found["lakehouse_slices planned"] == 1
    assert found["lakehouse_slice_seconds gold"] == 0.25
    assert found["lakehouse_last_hour_rows bronze"] == 100
    assert found["lakehouse_last_hour_broken_rows malformed_json"] == 10
    assert found["lakehouse_last_hour_broken_rows bad_event_time"] == 0
    assert found["lakehouse_alerts_open critical"] == 1
    assert found["lakehouse_api_requests_total GET /kpis/latest 200"] == 1
    assert found["lakehouse_api_requests_total GET /alerts/{alert_id} 404"] == 1
    assert found["lakehouse_api_request_seconds_count GET /kpis/latest"] == 1


def test_prometheus_is_answered_without_postgres_too(settings: Settings) -> None:
    with running_api(
        settings.model_copy(update={"api_postgres_url": "postgresql://nobody@127.0.0.1:1/x"})
    ) as api:
        assert samples_of(api.get("/metrics").text)["lakehouse_postgres_up"] == 0


def test_the_docs_page_and_its_scripts_come_from_the_server_itself(api: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert "https://cdn" not in page.text
    assert api.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    assert "/v1/kpis/latest" in api.get("/openapi.json").json()["paths"]


def test_the_api_leaves_no_connection_behind(settings: Settings, gold: Gold) -> None:
    with running_api(settings) as api:
        for _ in range(30):
            assert api.get("/kpis/latest").status_code == 200
        with psycopg.connect(settings.postgres_url) as connection:
            row = connection.execute(
                "select count(*) from pg_stat_activity"
                " where application_name = 'lakehouse-api' and datname = current_database()"
            ).fetchone()
        assert row is not None
        assert 1 <= row[0] <= settings.api_pool_size
