"""The container stack's files, as far as they can be judged without a container engine.

`compose_spec.json` is the Compose Specification's own schema (Apache License 2.0), as docker-compose 1.29.2 holds it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from ecom_lakehouse.settings import PREFIX, PROJECT_ROOT, Settings

SCHEMA = Path(__file__).parent / "compose_spec.json"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_file_is_valid_by_composes_schema(compose: dict[str, Any]) -> None:
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(compose)


def test_every_service_that_another_waits_for_can_fulfil_the_condition(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for needed, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[needed], f"{name} waits for the health of {needed}"
            else:
                assert services[needed].get("restart") != "unless-stopped", (
                    f"{name} waits for the end of {needed}"
                )


def test_every_setting_it_sets_exists(compose: dict[str, Any]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name, service in compose["services"].items():
        given = {one for one in service.get("environment", {}) if one.startswith(PREFIX)}
        assert given <= known, f"{name}: {given - known}"


def test_ports_are_published_on_this_machine_only_and_once(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    hosts = {port.split(":")[1] for port in published}
    assert len(hosts) == len(published)
    assert hosts == {"19092", "8080", "9000", "9001", "5432", "3000", "8000", "8501"}


def test_every_file_it_mounts_or_copies_is_in_the_project(compose: dict[str, Any]) -> None:
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    copied = [
        word
        for line in (PROJECT_ROOT / "infra" / "docker" / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for word in line.split()[1:-1]
    ]
    named = [*mounted, *copied, "infra/dagster/container.yaml", "infra/dagster/container_workspace.yaml"]
    assert mounted
    assert [path for path in named if not (PROJECT_ROOT / path).exists()] == []


@pytest.mark.parametrize("instance", ["local", "container"])
def test_dagsters_instance_is_valid_and_every_variable_is_set(instance: str, compose: dict[str, Any]) -> None:
    loaded = yaml.safe_load((PROJECT_ROOT / "infra" / "dagster" / f"{instance}.yaml").read_text())
    result = validate_config(dagster_instance_config_schema(), loaded)
    assert result.success, result.errors
    if instance == "container":
        given = compose["services"]["code-server"]["environment"]
        assert [name for name in _variables(loaded) if name not in given] == []


def test_local_and_container_instances_differ_in_the_compute_logs_only() -> None:
    local, container = (
        yaml.safe_load((PROJECT_ROOT / "infra" / "dagster" / f"{name}.yaml").read_text())
        for name in ("local", "container")
    )
    assert {name for name in local if local[name] != container[name]} == {"compute_logs"}


def _variables(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["env"]] if isinstance(value.get("env"), str) else []
        return own + [name for one in value.values() for name in _variables(one)]
    return []
