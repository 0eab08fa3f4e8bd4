"""The settings as environment variables, for the programs of the stack."""

from __future__ import annotations

import json
from typing import Any

from ecom_lakehouse.settings import PREFIX, Settings


def settings_environment(settings: Settings) -> dict[str, str]:
    """Every resolved setting by its name in the environment: a child means the same, wherever it starts."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return {PREFIX + name.upper(): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
