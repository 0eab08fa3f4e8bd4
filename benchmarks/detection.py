"""How well the rules find what was put into a shop's traffic, and into made-up series of other kinds.

    python -m benchmarks.detection            # both parts, about 25 minutes on one core
    python -m benchmarks.detection shop --seeds 2
    python -m benchmarks.detection families

`shop`: 30 days of minutes with the shape of day and week; each kind of anomaly 20 times in a run of its own, and
a calm run; five metrics as the live scorer watches them. `families`: see `benchmarks/families.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np

from benchmarks.families import HELD_OUT, TUNING, Series, corpus
from benchmarks.nab_scoring import best_threshold
from ecom_lakehouse.core.detection import DEFAULT_RULE, RULES, Verdict, detector
from ecom_lakehouse.core.detection.incidents import Incident, IncidentBook, IncidentRules
from ecom_lakehouse.core.detection.rules import KINDS, kind_of
from ecom_lakehouse.core.scenarios import SCENARIOS, Scenario, TruthInterval, scenario

METRICS = ("events_total", "events_purchase", "revenue", "purchase_conversion", "add_to_cart_rate")
START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS, LEAD_DAYS, EACH = 30, 3, 20
EVENTS_PER_SECOND = 20.0
MEAN_PRICE, PRICE_SPREAD = 40.0, 0.8  # of a purchase's amount: lognormal
AFTERMATH = timedelta(minutes=90)  # an incident so soon after an anomaly's end is still about it


@dataclass(frozen=True)
class Outcome:
    """What one rule made of one run."""

    injected: int
    delays: list[float]  # minutes from an anomaly's start to its incident, of those found
    false_alerts: int
    microseconds: float  # for one value of one metric


def minutes_of(shop: Scenario, seed: int) -> Iterator[tuple[datetime, dict[str, float]]]:
    """Each minute's metrics: Poisson counts by the shop's rates, amounts drawn for each purchase."""
    rng = np.random.default_rng([seed, 77])
    for number in range(DAYS * 1440):
        minute = START + timedelta(minutes=number)
        rates = shop.rates_at(minute + timedelta(seconds=30))
        counts = {name: int(rng.poisson(rate * 60.0)) for name, rate in rates.items()}
        clicks, carts, purchases = counts["click"], counts["add_to_cart"], counts["purchase"]
        yield (
            minute,
            {
                "events_total": float(sum(counts.values())),
                "events_click": float(clicks),
                "events_purchase": float(purchases),
                "revenue": float(np.sum(MEAN_PRICE * rng.lognormal(0.0, PRICE_SPREAD, purchases))),
                "purchase_conversion": purchases / clicks if clicks else 0.0,
                "add_to_cart_rate": carts / clicks if clicks else 0.0,
            },
        )


def run_shop(rule: str, name: str, seed: int) -> Outcome:
    """One rule over one scenario: its incidents matched with what was put in."""
    shop = scenario(
        name,
        seed=seed,
        start=START,
        end=START + timedelta(days=DAYS),
        events_per_second=EVENTS_PER_SECOND,
        each=EACH,
        lead=timedelta(days=LEAD_DAYS),
    )
    detectors = {
        metric: detector(rule, kind_of(metric), {"min_support": 50.0} if KINDS[metric][1] else {})
        for metric in METRICS
    }
    book = IncidentBook(rule, IncidentRules(), lambda name, minute: f"{name} {minute}")
    incidents: dict[str, Incident] = {}
    spent = 0.0
    for minute, values in minutes_of(shop, seed):
        begun = time.process_time()
        verdicts: dict[str, Verdict] = {}
        for metric, judge in detectors.items():
            support = KINDS[metric][1]
            verdicts[metric] = judge.observe(minute, values[metric], values[support] if support else None)
        changed = book.minute(minute, verdicts, values["events_total"])
        spent += time.process_time() - begun
        if changed is not None:
            incidents[changed.alert_id] = changed
    delays, false_alerts = matched(list(incidents.values()), shop.truth())
    return Outcome(len(shop.truth()), delays, false_alerts, spent / (DAYS * 1440 * len(METRICS)) * 1e6)


def matched(incidents: list[Incident], truth: list[TruthInterval]) -> tuple[list[float], int]:
    """Minutes until each found anomaly was told (its minute over), and the incidents that belong to none.

    Found is an anomaly within which an incident opened; one that was open before told nothing of it.
    """
    delays, belonging = [], set()
    for interval in truth:
        about = [
            one
            for one in incidents
            if one.last_window >= interval.start and one.window_start < interval.end + AFTERMATH
        ]
        belonging.update(one.alert_id for one in about)
        told = [
            max(at, interval.start)
            for at in map(opened_at, about)
            if interval.start - timedelta(minutes=1) < at < interval.end
        ]
        if told:
            delays.append((min(told) - interval.start) / timedelta(minutes=1) + 1.0)
    return delays, len(incidents) - len(belonging)


def opened_at(incident: Incident) -> datetime:
    """The minute that opened it; silence begins before that."""
    return datetime.fromisoformat(incident.details["opened_at"])


def shop_table(seeds: int) -> str:
    """One line a scenario and rule, as Markdown."""
    lines = [
        "| scenario | rule | found | median delay, minutes | false alerts a day |",
        "|---|---|---|---|---|",
    ]
    for rule in RULES:
        everything: list[Outcome] = []
        for name in (one for one in SCENARIOS if one != "mixed"):
            outcomes = [run_shop(rule, name, seed) for seed in range(1, seeds + 1)]
            everything += outcomes
            lines.append(shop_line(name, rule, outcomes))
            sys.stderr.write(lines[-1] + "\n")
        lines.append(shop_line("**all**", rule, everything))
        cost = sum(one.microseconds for one in everything) / len(everything)
        lines.append(
            f"| | {rule} | {cost * len(METRICS) / 1000:.2f} ms for a minute of {len(METRICS)} metrics | | |"
        )
    return "\n".join(lines)


def shop_line(name: str, rule: str, outcomes: list[Outcome]) -> str:
    """The line of several runs together."""
    injected = sum(one.injected for one in outcomes)
    delays = [delay for one in outcomes for delay in one.delays]
    found = f"{len(delays)} of {injected} ({len(delays) / injected:.0%})" if injected else "–"
    late = f"{median(delays):.0f}" if delays else "–"
    false = sum(one.false_alerts for one in outcomes) / (len(outcomes) * DAYS)
    return f"| {name} | {rule} | {found} | {late} | {false:.2f} |"


def families_table(seeds: int) -> str:
    """The score by the published formula for families that the default rule was tuned on, and for others."""
    lines = ["| families | rule | score of 100 | threshold |", "|---|---|---|---|"]
    for title, families in (("tuned on", TUNING), ("held out", HELD_OUT)):
        series = corpus(families, range(100, 100 + seeds))
        for rule in (DEFAULT_RULE, "ewma_zscore_v1"):
            threshold, score = best_threshold([(scores_of(rule, one), one.windows()) for one in series])
            lines.append(f"| {title} | {rule} | {score:.1f} | {threshold:.2f} |")
            sys.stderr.write(lines[-1] + "\n")
    return "\n".join(lines)


def scores_of(rule: str, series: Series) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The rule's score of every row."""
    judge = detector(rule)
    times = [datetime.fromtimestamp(one, UTC) for one in series.seconds.tolist()]
    return np.array(
        [judge.observe(at, value).score for at, value in zip(times, series.values.tolist(), strict=True)]
    )


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=("shop", "families", "all"), default="all")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each scenario or family")
    arguments = parser.parse_args()
    if arguments.part in ("shop", "all"):
        sys.stdout.write(shop_table(arguments.seeds) + "\n")
    if arguments.part in ("families", "all"):
        sys.stdout.write(families_table(arguments.seeds) + "\n")


if __name__ == "__main__":
    main()
