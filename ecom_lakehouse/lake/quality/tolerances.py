"""The tolerances in force: the catalogue's, bent by the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecom_lakehouse.core.checks import TOLERANCES
from ecom_lakehouse.core.rules import CODES, Rule, Tolerance, with_tolerances
from ecom_lakehouse.settings import Settings


def rules_in_force(settings: Settings) -> tuple[Rule, ...]:
    """The rules with their tolerances in force."""
    return with_tolerances({code: given for code, given in _overrides(settings).items() if code in CODES})


def share_in_force(settings: Settings, name: str) -> Tolerance:
    """The tolerance in force of a check on a share that is no rule."""
    return replace(TOLERANCES[name], **_overrides(settings).get(name, {}))


def _overrides(settings: Settings) -> dict[str, dict[str, Any]]:
    return {name: given.model_dump(exclude_none=True) for name, given in settings.tolerances.items()}
