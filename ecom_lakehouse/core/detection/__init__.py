"""Anomaly detection: one online detector a series, the same for live scoring and for a backtest."""

from ecom_lakehouse.core.detection.rules import DEFAULT_RULE, RULES, detector, restored
from ecom_lakehouse.core.detection.verdict import Detector, Kind, Severity, State, Verdict

__all__ = [
    "DEFAULT_RULE",
    "RULES",
    "Detector",
    "Kind",
    "Severity",
    "State",
    "Verdict",
    "detector",
    "restored",
]
