"""The default rule on series of any kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from ecom_lakehouse.core.detection import Kind, Verdict, detector

START = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(minutes=5)


def judged(values: list[float], step: timedelta = STEP) -> list[Verdict]:
    judge = detector("surprise_v1", Kind.GAUGE)
    return [judge.observe(START + number * step, value) for number, value in enumerate(values)]


def noise(count: int, seed: int = 5) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(50, 3, count)


def rows_of(verdicts: list[Verdict], least: float = 0.5) -> list[int]:
    return [row for row, verdict in enumerate(verdicts) if verdict.score >= least]


def test_plain_noise_hardly_ever_scores_high() -> None:
    verdicts = judged(noise(4000).tolist())
    assert len(rows_of(verdicts)) <= 3
    assert np.median([one.score for one in verdicts]) < 0.1


def test_an_incident_scores_high_once_not_in_every_row() -> None:
    values = noise(2000)
    values[1500:1560] += 40
    found = rows_of(judged(values.tolist()))
    assert min(row for row in found if row >= 1000) in (1500, 1501)
    assert len([row for row in found if row >= 1500]) <= 3


def test_spikes_that_come_every_day_stop_alarming() -> None:
    values = noise(4000)
    values[100::288] += 60
    daily = set(range(100, 4000, 288))
    found = rows_of(judged(values.tolist()))
    assert [row for row in found if row > 1000 and row in daily] == []


def test_a_spike_far_above_the_usual_ones_still_alarms() -> None:
    values = noise(4000)
    values[100::288] += 60
    values[3500] += 400
    assert 3500 in rows_of(judged(values.tolist()))


def test_standing_still_is_a_surprise_only_where_it_never_happens() -> None:
    values = noise(2000)
    values[1500:1600] = values[1500]
    assert any(1500 < row < 1600 for row in rows_of(judged(values.tolist())))
    still = np.repeat(noise(40), 50)
    verdicts = judged(still.tolist())
    assert max(one.inputs["surprises"].get("flat", 0.0) for one in verdicts[600:]) < 2.8


def test_a_daily_square_wave_does_not_alarm_at_its_edges() -> None:
    hours = (np.arange(14 * 288) * 5 / 60) % 24
    values = np.where((hours >= 9) & (hours < 18), 80.0, 20.0) + np.random.default_rng(1).uniform(
        -2, 2, hours.size
    )
    assert [row for row in rows_of(judged(values.tolist()), 0.7) if row > 3 * 288][1:] == []


def test_scores_do_not_depend_on_the_unit() -> None:
    values = noise(1500)
    values[1200] += 30
    plain = [one.score for one in judged(values.tolist())]
    scaled = [one.score for one in judged((values * 1024.0).tolist())]
    assert max(abs(a - b) for a, b in zip(plain, scaled, strict=True)) < 0.12
