"""The running stack as it is used: seconds from an event's arrival to its KPI, and what the stack takes meanwhile.

    python -m benchmarks.live [--minutes 10] [--rate 20]

Start the stack first (`make run`). Looks at it at rest for a minute, then sends events at the rate and looks
again. An event arrives at the broker's timestamp; its KPI is served when Gold's transaction of its slice has
been committed, which the ledger marks in the same transaction. CPU is that of all processes of the stack, runs
included, in cores; memory is theirs with shared pages divided (PSS), looked at every second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings, load_settings
from ecom_lakehouse.stack.processes import marked

REST_SECONDS = 60
SETTLE = timedelta(seconds=90)
MEGABYTE = 1024 * 1024


def main() -> None:
    """Runs the benchmark and prints its figures."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--rate", type=int, default=20)
    given = arguments.parse_args()
    settings = load_settings()
    print_load("at rest", watch(settings.home, REST_SECONDS))
    begun = datetime.now(UTC)
    generator = subprocess.Popen(
        [str(Path(sys.executable).parent / "lakehouse"), "events"],
        env={**dict(psutil.Process().environ()), "EVENTS_PER_SEC": str(given.rate)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        load = watch(settings.home, given.minutes * 60)
    finally:
        generator.terminate()
        generator.wait(30)
    ended = datetime.now(UTC)
    wait_until_in_gold(settings, ended)
    print_load(f"at {given.rate} events/s", load)
    print_latency(latencies(settings, begun, ended))


def watch(home: Path, seconds: float) -> tuple[float, float, float]:
    """Mean cores, mean and highest memory in MB of all processes of the stack over so many seconds."""
    spent: dict[tuple[int, float], float] = {}
    first: dict[tuple[int, float], float] = {}
    memory = []
    begun = time.monotonic()
    beginning = True
    while time.monotonic() - begun < seconds:
        total = 0
        for process in marked(home):
            with suppress(psutil.Error):
                key = (process.pid, process.create_time())
                times = process.cpu_times()
                spent[key] = times.user + times.system
                if beginning:
                    first[key] = spent[key]
                total += process.memory_full_info().pss
        memory.append(total / MEGABYTE)
        beginning = False
        time.sleep(1)
    cores = sum(each - first.get(key, 0.0) for key, each in spent.items()) / (time.monotonic() - begun)
    return cores, statistics.mean(memory), max(memory)


def wait_until_in_gold(settings: Settings, moment: datetime) -> None:
    """Waits until all that arrived before the moment has reached Gold."""
    deadline = moment + SETTLE * 4
    with connect(settings, autocommit=True) as connection:
        while datetime.now(UTC) < deadline:
            row = connection.execute("select reached_gold_at from serving.freshness").fetchone()
            if row and row["reached_gold_at"] and row["reached_gold_at"] >= moment:
                return
            time.sleep(1)
    raise TimeoutError("Not all events reached Gold; see `lakehouse status`.")


def latencies(settings: Settings, begun: datetime, ended: datetime) -> list[float]:
    """Seconds from arrival to Gold of every accepted event that arrived between the two moments."""
    with connect(settings, autocommit=True) as connection:
        rows = connection.execute(
            "select slice_id, gold_at from lake.slices where gold_at >= %s", (begun,)
        ).fetchall()
    gold_at = {row["slice_id"]: row["gold_at"] for row in rows}
    events = Lake(settings).silver.arrow(["slice_id", "kafka_timestamp"], f"slice_id >= {min(gold_at)}")
    return [
        (gold_at[event["slice_id"]] - event["kafka_timestamp"]).total_seconds()
        for event in events.to_pylist()
        if event["slice_id"] in gold_at and begun <= event["kafka_timestamp"] <= ended
    ]


def print_load(when: str, load: tuple[float, float, float]) -> None:
    """One line of what the stack took."""
    cores, mean, highest = load
    print(
        f"{when:<18} {cores:5.2f} cores   {mean:6.0f} MB in the mean, {highest:6.0f} MB at most", flush=True
    )


def print_latency(seconds: list[float]) -> None:
    """One line of how long events took."""
    quantiles = statistics.quantiles(seconds, n=100)
    print(
        f"arrival to Gold    p50 {quantiles[49]:.1f} s   p95 {quantiles[94]:.1f} s   p99 {quantiles[98]:.1f} s   "
        f"highest {max(seconds):.1f} s   of {len(seconds):,} events"
    )


if __name__ == "__main__":
    main()
