"""The settings as environment variables: a child process means the same as its parent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.environment import settings_environment


def test_settings_survive_the_way_through_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        _env_file=None,
        home=tmp_path / "home",
        kafka_port=12345,
        kafka_options={"security.protocol": "SSL", "client.id": 'with "quotes"'},
        start_hour=datetime(2026, 1, 31, 12, tzinfo=UTC),
        api_keys={"shop": {"role": "read", "sha256": "0" * 64}},
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == settings
