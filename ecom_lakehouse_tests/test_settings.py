"""The settings: what is shown of them, and how wrong ones are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import Settings, load_settings, masked_url, without_password


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.mark.parametrize("name", ["KAFKA_OPTIONS", "API_KEYS", "TOLERANCES"])
def test_json_that_is_broken_is_refused_by_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LAKEHOUSE_{name}", '{"sasl.password": "secret')
    with pytest.raises(
        SettingsError, match=f"LAKEHOUSE_{name} is not allowed: it is not valid JSON"
    ) as refused:
        load_settings()
    assert "secret" not in str(refused.value)


def test_no_secret_is_shown_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://host:443/;use_ssl=true;token=hush;user_id=me")
    settings = Settings(
        _env_file=None,
        postgres_url="postgresql://app@host/db?sslmode=require&password=hush",
        kafka_options={"security.protocol": "SSL", "ssl.key.pem": "hush", "sasl.username": "hush"},
    )
    shown = settings.public()
    assert "hush" not in str(shown)
    assert shown["kafka_options"]["security.protocol"] == "SSL"
    assert shown["spark_remote"] == "sc://host:443/;use_ssl=true;token=***;user_id=me"
    assert "hush" in str(settings.public(show_secrets=True))


def test_a_url_is_masked_and_taken_apart_with_its_password_in_either_place() -> None:
    assert masked_url("postgresql://app:s%40x@host/db") == "postgresql://app:***@host/db"
    assert masked_url("postgresql://host/db") == "postgresql://host/db"
    assert without_password("postgresql://app:s%40x@host:1/db") == (
        "postgresql://app@host:1/db",
        {"PGPASSWORD": "s@x"},
    )
    assert without_password("postgresql://app@host/db?sslmode=require&password=x") == (
        "postgresql://app@host/db?sslmode=require",
        {"PGPASSWORD": "x"},
    )
