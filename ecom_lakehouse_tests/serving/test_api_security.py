"""Safe by default: who may ask, how often, and what nobody is told."""

from __future__ import annotations

import hashlib
from socket import AF_INET
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import yaml

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.serving.api import create_app
from ecom_lakehouse.serving.api.security import is_local
from ecom_lakehouse.settings import PROJECT_ROOT, ApiKey, Settings
from ecom_lakehouse_tests.serving.conftest import Gold, running_api

READER, WRITER = "the-reader's-key", "the-writer's-key"


def key(text: str, role: str) -> ApiKey:
    return ApiKey.model_validate({"role": role, "sha256": hashlib.sha256(text.encode()).hexdigest()})


KEYS = {"dashboard": key(READER, "read"), "ana": key(WRITER, "write")}


def with_settings(settings: Settings, **changed: Any) -> Settings:
    return settings.model_copy(update=changed)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "lakehouse.example"])
def test_beyond_localhost_it_starts_with_keys_and_a_rate_limit_or_not_at_all(
    settings: Settings, host: str
) -> None:
    with pytest.raises(SettingsError, match="LAKEHOUSE_API_KEYS"):
        create_app(with_settings(settings, api_host=host))
    with pytest.raises(SettingsError, match="LAKEHOUSE_API_RATE_LIMIT_PER_MINUTE"):
        create_app(with_settings(settings, api_host=host, api_keys=KEYS))
    create_app(with_settings(settings, api_host=host, api_keys=KEYS, api_rate_limit_per_minute=600))


def test_in_the_container_stack_the_dashboard_gets_answers_and_others_need_the_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    assert services["api"]["command"] == ["lakehouse", "api"]
    for name, value in services["api"]["environment"].items():
        if name.startswith("LAKEHOUSE_API_") and not name.endswith("_URL"):
            monkeypatch.setenv(name, value)
    contained = Settings(_env_file=None, home=settings.home, api_postgres_url=settings.api_postgres_url)
    addresses = [
        one.address for found in psutil.net_if_addrs().values() for one in found if one.family == AF_INET
    ]
    beyond = next(address for address in addresses if not is_local(address))
    with running_api(contained) as api:
        url = f"http://{beyond}:{api.base_url.port}/kpis/latest"
        assert httpx.get(url).status_code == 401
        key = services["dashboard"]["environment"]["LAKEHOUSE_API_KEY"]
        assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_this_machine_it_starts_without(settings: Settings, host: str) -> None:
    create_app(with_settings(settings, api_host=host))


def test_with_keys_a_key_is_needed_for_all_but_probes_and_the_docs(settings: Settings) -> None:
    with running_api(with_settings(settings, api_keys=KEYS)) as api:
        for path in ("/health", "/ready", "/v1/health", "/docs", "/openapi.json"):
            assert api.get(path).status_code == 200
        for path in (
            "/kpis/latest",
            "/v1/kpis",
            "/metrics",
            "/deps",
            "/no-such-path",
            "/kpis/stream",
        ):
            refused = api.get(path)
            assert refused.status_code == 401, path
            assert "Bearer" in refused.headers["www-authenticate"]
            assert "lakehouse api-key" in refused.json()["what_to_do"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {READER}"},
        {"Authorization": f"bearer  {READER}"},
        {"X-API-Key": READER},
    ],
)
def test_a_key_opens_by_either_header(settings: Settings, headers: dict[str, str]) -> None:
    with running_api(with_settings(settings, api_keys=KEYS)) as api:
        assert api.get("/kpis/latest", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Basic {READER}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + hashlib.sha256(READER.encode()).hexdigest()},
        {"X-API-Key": READER.upper()},
        {"X-API-Key": ""},
        {"X-API-Key": "é'; drop table"},
    ],
)
def test_anything_else_does_not(settings: Settings, headers: dict[str, str]) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    with running_api(with_settings(settings, api_keys=KEYS)) as api:
        assert api.get("/kpis/latest", headers=encoded).status_code == 401


def test_a_reader_may_not_acknowledge_and_a_writer_may(settings: Settings, gold: Gold) -> None:
    gold.alert("a")
    with running_api(with_settings(settings, api_keys=KEYS)) as api:
        path, body = "/v1/alerts/a/acknowledge", {"by": "ana"}
        refused = api.post(path, json=body, headers={"X-API-Key": READER})
        assert refused.status_code == 403
        assert "dashboard" in refused.json()["detail"]
        assert api.post(path, json=body, headers={"X-API-Key": WRITER}).status_code == 200


def test_the_document_says_that_keys_are_needed_only_where_they_are(settings: Settings) -> None:
    open_document = create_app(settings).openapi()
    assert "securitySchemes" not in open_document["components"]
    closed = create_app(with_settings(settings, api_keys=KEYS)).openapi()
    assert closed["paths"]["/v1/kpis"]["get"]["security"] == [{"key": []}]
    assert "security" not in closed["paths"]["/v1/health"]["get"]


def test_open_paths_that_ask_postgres_are_limited_by_address(settings: Settings) -> None:
    with running_api(with_settings(settings, api_keys=KEYS, api_rate_limit_per_minute=3)) as api:
        assert [api.get("/ready").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert api.get("/v1/ready").status_code == 429
        assert api.get("/health").status_code == 200


def test_who_asks_too_often_is_told_when_to_come_back(settings: Settings) -> None:
    with running_api(with_settings(settings, api_keys=KEYS, api_rate_limit_per_minute=5)) as api:
        answers = [api.get("/kpis/latest", headers={"X-API-Key": READER}) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 13
        assert api.get("/kpis/latest", headers={"X-API-Key": WRITER}).status_code == 200
        assert api.get("/health").status_code == 200


def test_guessing_keys_is_limited_too(settings: Settings) -> None:
    with running_api(with_settings(settings, api_keys=KEYS, api_rate_limit_per_minute=3)) as api:
        statuses = [
            api.get("/kpis", headers={"X-API-Key": f"guess-{number}"}).status_code for number in range(4)
        ]
        assert statuses == [401, 401, 401, 429]


def test_every_answer_carries_the_headers_of_care(api: httpx.Client) -> None:
    for answer in (api.get("/kpis/latest"), api.get("/nothing"), api.get("/docs"), api.get("/kpis?step=x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_other_sites_get_no_leave_to_read(api: httpx.Client) -> None:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    assert "access-control-allow-origin" not in api.get("/kpis/latest", headers=origin).headers
    preflight = api.options("/alerts/a/acknowledge", headers=origin)
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


def test_a_form_of_another_site_cannot_acknowledge(api: httpx.Client, gold: Gold) -> None:
    gold.alert("a")
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = api.post(
            "/alerts/a/acknowledge", content=b'{"by": "evil"}', headers={"Content-Type": content_type}
        )
        assert answer.status_code == 422
    assert api.get("/alerts/a").json()["acknowledged_by"] is None


HOSTILE = [
    "'; drop table serving.alerts; --",
    "%00",
    "\u202e",
    "../../etc/passwd",
    "{{7*7}}",
    "a" * 5000,
    "%s%s%n",
    "-1",
    "9" * 400,
    "NaN",
    "\U0001f600",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_parameters_are_refused_or_find_nothing(api: httpx.Client, gold: Gold, hostile: str) -> None:
    gold.alert("a")
    names = (
        "metric",
        "metrics",
        "from",
        "to",
        "step",
        "limit",
        "cursor",
        "severity",
        "state",
        "rule",
        "hour",
        "closed",
    )
    for path in (
        "/kpis",
        "/kpis/latest",
        "/alerts",
        "/alerts/latest",
        "/quality",
        "/quality/samples",
        "/pipeline",
    ):
        for name in names:
            answer = api.get(path, params={name: hostile})
            assert answer.status_code == 422, (path, name, answer.text[:200])
            assert "Traceback" not in answer.text
    for answer in (
        api.get(httpx.URL("/alerts/").copy_with(path=f"/alerts/{hostile}")),
        api.get(
            "/kpis",
            headers={"Accept": hostile.encode(), "If-None-Match": hostile.encode(), "Last-Event-ID": "x"},
        ),
    ):
        assert answer.status_code in (200, 304, 404, 422), answer.text[:200]
    assert [alert["alert_id"] for alert in api.get("/alerts").json()["data"]] == ["a"]


def test_what_breaks_is_logged_and_not_told(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("ecom_lakehouse.serving.api.routes.alerts.queries.open_alerts", broken)
    answer = api.get("/alerts/latest")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["type"] == "urn:ecom-lakehouse:problem:internal-error"
    assert answer.headers["x-request-id"] in caplog.text


def test_a_question_that_takes_too_long_is_ended_with_503(settings: Settings, gold: Gold) -> None:
    with (
        running_api(with_settings(settings, api_statement_timeout_seconds=0.2)) as api,
        psycopg.connect(settings.postgres_url) as other,
    ):
        other.execute("lock table serving.kpi_minute in access exclusive mode")
        slow = api.get("/kpis/latest")
        assert slow.status_code == 503
        assert slow.json()["type"] == "urn:ecom-lakehouse:problem:too-slow"
        assert slow.headers["retry-after"]
        other.rollback()
        assert api.get("/kpis/latest").status_code == 200
