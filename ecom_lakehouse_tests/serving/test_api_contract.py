"""The OpenAPI document holds: cases made from it, by a tool that isn't ours, find no answer that it does not allow."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx

from ecom_lakehouse.settings import PROJECT_ROOT
from ecom_lakehouse_tests.serving.conftest import Gold

EXAMPLES_EACH = "10"


def test_cases_made_from_the_document_get_answers_that_it_allows(api: httpx.Client, gold: Gold) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    gold.minute(now - timedelta(minutes=2), events_total=3, events_click=2)
    gold.slice(now, bronze_rows=10, silver_rows=9, quarantine_rows=1, run_id="r")
    gold.run("insert into lake.slice_rules (slice_id, code, rows) values (1, 'malformed_json', 1)")
    gold.alert("a", details='{"n": 3}')
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.base_url}/openapi.json"),
            *("--include-path-regex", "^/v1/", "--phases", "examples,coverage,fuzzing", "--seed", "1"),
            *("--max-examples", EXAMPLES_EACH, "--suppress-health-check", "all", "--no-color"),
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_each_path_is_there_under_v1_and_for_short(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    versioned = {path.removeprefix("/v1") for path in paths if path.startswith("/v1/")}
    assert versioned == {path for path in paths if not path.startswith("/v1/")}
    assert versioned == {
        "/health",
        "/ready",
        "/deps",
        "/metrics",
        "/kpis",
        "/kpis/bands",
        "/kpis/latest",
        "/alerts",
        "/alerts/latest",
        "/alerts/{alert_id}",
        "/alerts/{alert_id}/acknowledge",
        "/quality",
        "/quality/samples",
        "/pipeline",
    }


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["description"] for operation in operations)
