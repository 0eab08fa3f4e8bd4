"""The tolerances in force: the catalogue's, bent by the settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecom_lakehouse.core.checks import CHECKS
from ecom_lakehouse.core.rules import CODES, Rule, Tolerance, with_tolerances
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import PREFIX, Settings

SHARES = {each.name: each.tolerance for each in CHECKS if each.tolerance and each.name not in CODES}
"""The checks on a share of the hour's messages that are no rules."""


def rules_in_force(settings: Settings) -> tuple[Rule, ...]:
    """The rules with their tolerances in force.

    Raises:
        SettingsError: `LAKEHOUSE_TOLERANCES` names no check, or a value that isn't allowed.
    """
    _require_known(settings)
    try:
        return with_tolerances({code: given for code, given in _overrides(settings).items() if code in CODES})
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TOLERANCES is not allowed: {error}") from None


def share_in_force(settings: Settings, name: str) -> Tolerance:
    """The tolerance in force of a check on a share that is no rule.

    Raises:
        SettingsError: `LAKEHOUSE_TOLERANCES` has a value that isn't allowed.
    """
    try:
        return replace(SHARES[name], **_overrides(settings).get(name, {}))
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TOLERANCES is not allowed: {name}: {error}") from None


def _overrides(settings: Settings) -> dict[str, dict[str, Any]]:
    return {name: given.model_dump(exclude_none=True) for name, given in settings.tolerances.items()}


def _require_known(settings: Settings) -> None:
    allowed = [*CODES, *SHARES]
    for name in settings.tolerances:
        if name not in allowed:
            raise SettingsError(
                f"{PREFIX}TOLERANCES names {name!r}, which has no tolerance: allowed are {', '.join(allowed)}."
            )
