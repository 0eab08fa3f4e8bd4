"""Scores detections on labelled windows by the published formula of the Numenta Anomaly Benchmark.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015: within a window only the
earliest detection counts, worth more the earlier it is; a detection outside costs, less just after a window; a
window without one costs 1. One threshold for the whole corpus; 0 is silence, 100 perfection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVE = 0.11  # the published weights of the standard profile
FALSE_NEGATIVE = 1.0
PROBATION_SHARE, PROBATION_ROWS = 0.15, 750

Scored = tuple[NDArray[np.float64], list[tuple[int, int]]]


def sigmoid(position: float) -> float:
    """Worth of a detection: position -1 is a window's first row, 0 its last, above 0 after it."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def raw_score(scores: NDArray[np.float64], windows: Sequence[tuple[int, int]], threshold: float) -> float:
    """The sum over one series: rewards of windows found, costs of windows missed and of false alarms."""
    probation = min(int(len(scores) * PROBATION_SHARE), PROBATION_ROWS)
    hits = np.flatnonzero(scores >= threshold)
    hits = hits[hits >= probation]
    total = 0.0
    inside = np.zeros(len(hits), dtype=bool)
    for first, last in windows:
        within = (hits >= first) & (hits <= last)
        inside |= within
        if within.any():
            position = -(last - hits[within][0] + 1) / (last - first + 1)
            total += sigmoid(position) / sigmoid(-1.0)
        else:
            total -= FALSE_NEGATIVE
    for row in hits[~inside]:
        before = [(first, last) for first, last in windows if last < row]
        worth = -1.0
        if before:
            first, last = before[-1]
            worth = sigmoid((row - last) / max(last - first, 1))
        total += FALSE_POSITIVE * worth
    return total


def normalised(series: Sequence[Scored], threshold: float) -> float:
    """The corpus' score at one threshold, 0 to 100 (below 0 where alarms do more harm than good)."""
    windows = sum(len(labels) for _, labels in series)
    total = sum(raw_score(scores, labels, threshold) for scores, labels in series)
    return 100.0 * (total + FALSE_NEGATIVE * windows) / ((1.0 + FALSE_NEGATIVE) * windows)


def best_threshold(series: Sequence[Scored]) -> tuple[float, float]:
    """The one threshold that suits the corpus best, and the score it gives."""
    candidates = np.unique(
        np.round(np.concatenate([np.linspace(0.05, 1.0, 96), np.linspace(0.95, 1.0, 51)]), 4)
    )
    scored = [(normalised(series, float(one)), float(one)) for one in candidates]
    score, threshold = max(scored)
    return threshold, score
