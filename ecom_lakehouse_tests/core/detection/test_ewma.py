"""The plain rule, against its formula computed by hand."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta

import pytest

from ecom_lakehouse.core.detection import Severity
from ecom_lakehouse.core.detection.ewma import EwmaSettings, EwmaZScore

START = datetime(2026, 1, 5, tzinfo=UTC)


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def test_baseline_band_and_z_are_those_of_the_formula() -> None:
    values = [100 + 7 * ((n * 37) % 11) - 3 * (n % 5) for n in range(200)]
    judge = EwmaZScore()
    mean, residuals = float(values[0]), []
    judge.observe(at(0), values[0])
    for n, value in enumerate(values[1:], start=1):
        verdict = judge.observe(at(n), value)
        before = residuals[-60:]
        if len(before) >= 30:
            centre, spread = statistics.fmean(before), statistics.stdev(before)
            assert verdict.baseline == pytest.approx(mean)
            assert verdict.z == pytest.approx((value - mean - centre) / spread)
            assert verdict.lower == pytest.approx(mean + centre - 3 * spread)
            assert verdict.inputs["n"] == len(before)
        residuals.append(value - mean)
        mean += 0.2 * (value - mean)


def test_it_warns_from_z_3_and_is_critical_from_z_5() -> None:
    for size, severity in ((2.5, Severity.NONE), (3.5, Severity.WARN), (5.5, Severity.CRITICAL)):
        judge = EwmaZScore()
        for n in range(100):
            judge.observe(at(n), 100 + (-1) ** n)
        probe = judge.observe(at(100), 100)
        assert probe.upper is not None
        assert probe.baseline is not None
        judge = EwmaZScore()
        for n in range(100):
            judge.observe(at(n), 100 + (-1) ** n)
        spread, centre = probe.inputs["residual_sd"], probe.baseline + probe.inputs["residual_mean"]
        verdict = judge.observe(at(100), centre + size * spread)
        assert verdict.z == pytest.approx(size)
        assert verdict.severity is severity
        assert (verdict.score >= 0.5) is (severity is not Severity.NONE)


def test_what_is_older_than_the_lookback_is_forgotten() -> None:
    judge = EwmaZScore(EwmaSettings(lookback_minutes=180))
    for n in range(100):
        judge.observe(at(n), 100 + (-1) ** n)
    assert judge.observe(at(99 + 130), 100).inputs["n"] == 51
    later = judge.observe(at(99 + 130 + 181), 5000)
    assert (later.severity, later.reason) == (Severity.NONE, "no history yet")
