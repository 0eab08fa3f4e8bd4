"""What holds for every rule and every kind of series."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ecom_lakehouse.core.detection import RULES, Detector, Kind, Severity, detector, restored

START = datetime(2026, 1, 5, tzinfo=UTC)
EVERY = [(rule, kind) for rule in RULES for kind in Kind]


def values_of(kind: Kind, count: int = 400, seed: int = 3) -> list[float]:
    rng = np.random.default_rng(seed)
    if kind is Kind.COUNT:
        return [float(one) for one in rng.poisson(40, count)]
    if kind is Kind.RATIO:
        return [float(one) / 800 for one in rng.binomial(800, 0.05, count)]
    return [float(one) for one in rng.normal(1000, 25, count)]


def observe_all(judge: Detector, values: list[float | None], start: datetime = START) -> list[float]:
    return [
        judge.observe(start + timedelta(minutes=number), value, 800.0).score
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_a_state_kept_as_json_goes_on_as_if_it_had_never_stopped(rule: str, kind: Kind) -> None:
    values = values_of(kind)
    whole = detector(rule, kind)
    expected = [whole.observe(START + timedelta(minutes=n), value, 800.0) for n, value in enumerate(values)]
    judge, verdicts = detector(rule, kind), []
    for number, value in enumerate(values):
        if number % 37 == 0:
            judge = restored(rule, json.loads(json.dumps(judge.state())), kind)
        verdicts.append(judge.observe(START + timedelta(minutes=number), value, 800.0))
    assert [one.score for one in verdicts] == pytest.approx([one.score for one in expected], abs=1e-3)
    assert [one.severity for one in verdicts] == [one.severity for one in expected]


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_nothing_that_comes_later_changes_a_verdict(rule: str, kind: Kind) -> None:
    values = values_of(kind)
    short = observe_all(detector(rule, kind), values[:300])
    long = observe_all(detector(rule, kind), [*values[:300], *(value * 9 for value in values[300:])])
    assert long[:300] == short


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_an_empty_history_alarms_nobody(rule: str, kind: Kind) -> None:
    first = detector(rule, kind).observe(START, 0.9, 800.0)
    assert (first.severity, first.score, first.baseline) == (Severity.NONE, 0.0, None)
    assert max(observe_all(detector(rule, kind), [0.01, 0.9, 0.0, 0.5, 0.02])) < 0.5


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_a_fall_to_nothing_is_critical_at_once(rule: str, kind: Kind) -> None:
    judge = detector(rule, kind)
    observe_all(judge, values_of(kind))
    verdict = judge.observe(START + timedelta(minutes=400), 0.0, 800.0)
    assert verdict.severity is Severity.CRITICAL
    assert verdict.lower is not None
    assert verdict.lower > 0.0
    assert verdict.z is not None
    assert verdict.z < 0


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_missing_values_are_not_judged_and_teach_nothing(rule: str, kind: Kind) -> None:
    values = values_of(kind)
    holes = [None, math.nan, math.inf]
    judge = detector(rule, kind)
    before = observe_all(judge, values)
    state = judge.state()
    for number, hole in enumerate(holes):
        verdict = judge.observe(START + timedelta(minutes=400 + number), hole, 800.0)
        assert (verdict.score, verdict.severity, verdict.value) == (0.0, Severity.NONE, None)
    assert judge.state() == state
    assert len(before) == 400


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_a_constant_series_is_no_surprise_and_a_jump_from_it_is_one(rule: str, kind: Kind) -> None:
    judge = detector(rule, kind)
    level = 0.05 if kind is Kind.RATIO else 20.0
    assert max(observe_all(judge, [level] * 400)) < 0.5
    assert judge.observe(START + timedelta(minutes=400), 5 * level, 800.0).severity is Severity.CRITICAL


@pytest.mark.parametrize("rule", RULES)
def test_a_ratio_over_too_few_is_not_judged(rule: str) -> None:
    judge = detector(rule, Kind.RATIO, {"min_support": 50.0})
    for number, value in enumerate(values_of(Kind.RATIO)):
        judge.observe(START + timedelta(minutes=number), value, 800.0)
    for support in (None, 0.0, 49.0):
        verdict = judge.observe(START + timedelta(minutes=401), 0.9, support)
        assert verdict.severity is Severity.NONE
        assert "50 are needed" in verdict.reason
    assert judge.observe(START + timedelta(minutes=402), 0.9, 50.0).severity is Severity.CRITICAL


def test_a_parameter_or_rule_that_is_none_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no parameter 'alhpa'; it has alpha"):
        detector("ewma_zscore_v1", settings={"alhpa": 1})
    with pytest.raises(ValueError, match="no rule; there are surprise_v1"):
        detector("best")


@pytest.mark.parametrize(("rule", "kind"), EVERY)
def test_a_state_of_another_version_is_refused(rule: str, kind: Kind) -> None:
    with pytest.raises(ValueError, match="version"):
        restored(rule, {**detector(rule, kind).state(), "version": 99}, kind)
