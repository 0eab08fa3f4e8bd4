"""The rules by name, and what kind of number each metric is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ecom_lakehouse.core.detection.ewma import EwmaSettings, EwmaZScore
from ecom_lakehouse.core.detection.kpi import KpiDetector
from ecom_lakehouse.core.detection.scoring import SurpriseSettings
from ecom_lakehouse.core.detection.surprise import SurpriseDetector
from ecom_lakehouse.core.detection.verdict import Detector, Kind, State

RULES = (SurpriseDetector.rule, EwmaZScore.rule)
DEFAULT_RULE = SurpriseDetector.rule


KINDS: Mapping[str, tuple[Kind, str | None]] = {
    "events_total": (Kind.COUNT, None),
    "events_click": (Kind.COUNT, None),
    "events_add_to_cart": (Kind.COUNT, None),
    "events_checkout": (Kind.COUNT, None),
    "events_purchase": (Kind.COUNT, None),
    "revenue": (Kind.AMOUNT, None),
    "aov": (Kind.GAUGE, "events_purchase"),
    "add_to_cart_rate": (Kind.RATIO, "events_click"),
    "checkout_rate": (Kind.RATIO, "events_add_to_cart"),
    "purchase_conversion": (Kind.RATIO, "events_click"),
}
"""Kind and support of every metric of Gold; a metric that isn't here is a gauge."""


def kind_of(metric: str) -> Kind:
    """The kind of a metric of Gold; a gauge for any other name."""
    return KINDS[metric][0] if metric in KINDS else Kind.GAUGE


def detector(rule: str, kind: Kind = Kind.GAUGE, settings: Mapping[str, Any] | None = None) -> Detector:
    """A new detector of a rule for one series.

    Raises:
        ValueError: the rule is unknown, or a setting is none of its parameters.
    """
    if rule == SurpriseDetector.rule:
        parameters = _parameters(SurpriseSettings, rule, {"kind": kind, **(settings or {})})
        return SurpriseDetector(parameters) if kind is Kind.GAUGE else KpiDetector(parameters)
    if rule == EwmaZScore.rule:
        return EwmaZScore(_parameters(EwmaSettings, rule, settings or {}))
    raise ValueError(f"{rule!r} is no rule; there are {', '.join(RULES)}")


def restored(
    rule: str, state: State, kind: Kind = Kind.GAUGE, settings: Mapping[str, Any] | None = None
) -> Detector:
    """The detector that had this state.

    Raises:
        ValueError: as for `detector`, or the state is of another version of the rule.
    """
    if rule == SurpriseDetector.rule:
        parameters = _parameters(SurpriseSettings, rule, {"kind": kind, **(settings or {})})
        model = SurpriseDetector if kind is Kind.GAUGE else KpiDetector
        return model.from_state(state, parameters)
    if rule == EwmaZScore.rule:
        return EwmaZScore.from_state(state, _parameters(EwmaSettings, rule, settings or {}))
    raise ValueError(f"{rule!r} is no rule; there are {', '.join(RULES)}")


def parameters_of(rule: str) -> dict[str, Any]:
    """The parameters of a rule with their defaults."""
    defaults = asdict(SurpriseSettings() if rule == SurpriseDetector.rule else EwmaSettings())
    defaults.pop("kind", None)
    return defaults


def _parameters(made: Callable[..., Any], rule: str, settings: Mapping[str, Any]) -> Any:
    known = asdict(made())
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{rule} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return made(**{name: type(known[name])(value) for name, value in settings.items()})
