"""Detectors made from settings: the same for the live scorer and for a backtest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecom_lakehouse.core.detection import Detector, Kind, State, detector, restored
from ecom_lakehouse.core.detection.rules import KINDS, kind_of, parameters_of
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import Settings


def metric_detector(settings: Settings, metric: str, state: State | None = None) -> Detector:
    """The detector of a metric of Gold by the settings' rule: new, or with the state it had."""
    parameters = rule_parameters(settings, settings.detector_rule)
    if support_of(metric) is not None:
        parameters["min_support"] = min_support(settings, metric)
    if state is None:
        return detector(settings.detector_rule, kind_of(metric), parameters)
    return restored(settings.detector_rule, state, kind_of(metric), parameters)


def backtest_detector(
    settings: Settings, rule: str | None, metric: str | None, changes: Sequence[str], has_support: bool
) -> Detector:
    """The detector for a backtest: a rule, a metric's kind, and `NAME=VALUE` parameters over the settings'.

    A ratio's minimum of support counts only where the file has a column for it.

    Raises:
        SettingsError: the rule, metric or parameter is unknown, or a value is not allowed.
    """
    rule = rule or settings.detector_rule
    if metric is not None and metric not in KINDS:
        raise SettingsError(f"--metric {metric}: no metric of Gold; there are {', '.join(KINDS)}")
    parameters = rule_parameters(settings, rule)
    if metric is not None and has_support:
        parameters["min_support"] = min_support(settings, metric)
    parameters.update(_changes(changes))
    try:
        return detector(rule, backtest_kind(metric, has_support), parameters)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def backtest_kind(metric: str | None, has_support: bool) -> Kind:
    """The kind that a file is judged as: nobody knows how a ratio scatters without its denominator."""
    kind = Kind.GAUGE if metric is None else kind_of(metric)
    return Kind.GAUGE if kind is Kind.RATIO and not has_support else kind


def rule_parameters(settings: Settings, rule: str) -> dict[str, Any]:
    """A rule's parameters as the settings have them."""
    if rule == "ewma_zscore_v1":
        return {
            "alpha": settings.detector_ewma_alpha,
            "window": settings.detector_ewma_window,
            "lookback_minutes": settings.detector_ewma_lookback_minutes,
            "warn_z": settings.detector_ewma_warn_z,
            "critical_z": settings.detector_ewma_critical_z,
        }
    return {
        "warn_surprise": settings.detector_warn_surprise,
        "critical_surprise": settings.detector_critical_surprise,
    }


def support_of(metric: str) -> str | None:
    """The count under a ratio; None for metrics that are none."""
    return KINDS[metric][1] if metric in KINDS else None


def min_support(settings: Settings, metric: str) -> float:
    """How many of the count under a ratio a minute needs for its ratio to be judged."""
    needed = {
        "events_click": settings.detector_min_clicks,
        "events_add_to_cart": settings.detector_min_carts,
        "events_purchase": 1,
    }
    return float(needed.get(support_of(metric) or "", 0))


def _changes(changes: Sequence[str]) -> dict[str, float]:
    found = {}
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            found[name.strip()] = float(text)
        except ValueError:
            equals = ""
        if not equals:
            known = "; ".join(
                f"{rule}: {', '.join(parameters_of(rule))}" for rule in ("surprise_v1", "ewma_zscore_v1")
            )
            raise SettingsError(f"--set {change}: NAME=NUMBER is needed. Names are, of {known}")
    return found
