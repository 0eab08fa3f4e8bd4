"""A slice of a million messages from Kafka to Gold in one run: seconds for each layer and peak memory.

    python -m benchmarks.million [--messages N] [--json FILE]

Starts a Kafka and a Postgres of its own in a temporary folder, preloads the topic with the generator's events
(2 % re-sent, 5 % late, 5 % broken), plans one slice of all of them, and takes it through the layers in a
fresh process by the very functions that the assets call. Memory is the most that the process and its children
had resident at once, looked at every 50 ms; Kafka and Postgres are servers and stand apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from ecom_lakehouse.lake import database
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.child import started
from ecom_lakehouse.stack.jars import fetch_jars
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.postgres import create_roles, postgres_service
from ecom_lakehouse.stack.topic import create_topic
from ecom_lakehouse.stack.watcher import watched

LOOK_SECONDS = 0.05
AIM_SECONDS = 15.0
AIM_BYTES = 3 * 1024**3


def main() -> None:
    """Runs the benchmark, prints a table, and writes the figures as JSON where asked."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--messages", type=int, default=1_000_000)
    arguments.add_argument("--json", type=Path, help="Write the figures there too.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakehouse-bench-", ignore_cleanup_errors=True) as folder:
        figures = benchmark(Path(folder), given.messages)
    print_table(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


def benchmark(home: Path, messages: int) -> dict[str, Any]:
    """The figures of one run, on servers started for it."""
    kafka_port, postgres_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")},
        "LAKEHOUSE_HOME": str(home),
        "LAKEHOUSE_KAFKA_PORT": str(kafka_port),
        "LAKEHOUSE_POSTGRES_PORT": str(postgres_port),
        "LAKEHOUSE_SLICE_MAX_MESSAGES": str(messages),
    }
    settings = Settings(
        _env_file=None,
        home=home,
        kafka_port=kafka_port,
        postgres_port=postgres_port,
        slice_max_messages=messages,
    )
    kafka, postgres = home / "kafka", home / "postgres"
    with watched(home), ExitStack() as stack:
        broker = kafka_service(kafka, kafka_port, fetch_jars(settings))
        stack.enter_context(started(broker, home / "kafka.log", home))
        stack.enter_context(started(postgres_service(postgres, postgres_port), home / "postgres.log", home))
        create_roles(postgres, postgres_port)
        database.migrate(settings)
        create_topic(settings)
        preload_seconds = preload(messages, environment)
        report, peak = measured_run(environment, home)
    return {
        "messages": messages,
        "cores": len(os.sched_getaffinity(0)),
        "preload_seconds": round(preload_seconds, 2),
        **report,
        "peak_bytes": peak,
    }


def preload(messages: int, environment: dict[str, str]) -> float:
    """Fills the topic as fast as the generator can."""
    begun = time.monotonic()
    command = ["--events-per-sec", "0", "--max-events", str(messages), "--log-every", "0"]
    subprocess.run(
        [Path(sys.executable).with_name("lakehouse"), "events", *command],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - begun


def measured_run(environment: dict[str, str], home: Path) -> tuple[dict[str, Any], int]:
    """What the run says of itself, and the most memory it and its children had at once."""
    report = home / "report.json"
    run = psutil.Popen([sys.executable, "-m", "benchmarks.one_run", str(report)], env=environment)
    peak = 0
    while run.poll() is None:
        peak = max(peak, tree_bytes(run))
        time.sleep(LOOK_SECONDS)
    if run.returncode != 0:
        raise SystemExit(f"the run failed with exit code {run.returncode}")
    return json.loads(report.read_text()), peak


def tree_bytes(process: psutil.Process) -> int:
    """The resident memory of a process and its children."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def print_table(figures: dict[str, Any]) -> None:
    """The figures for a person."""
    seconds, cpu_seconds = figures["seconds"], figures["cpu_seconds"]
    steps = [name for name in seconds if not name.startswith("start")]
    print(f"{figures['messages']:,} messages, {figures['cores']} cores      seconds  of a core")
    for name, value in seconds.items():
        print(f"  {name:<32}{value:8.2f}{cpu_seconds[name]:11.2f}")
    print(
        f"  {'steps together':<32}{sum(seconds[name] for name in steps):8.2f}"
        f"{sum(cpu_seconds[name] for name in steps):11.2f}   (aim: {AIM_SECONDS:.0f} s)"
    )
    print(
        f"  {'peak memory':<32}{figures['peak_bytes'] / 1024**2:8,.0f} MiB       (aim: {AIM_BYTES / 1024**2:,.0f})"
    )
    print("  " + ", ".join(f"{name} {value:,}" for name, value in figures["rows"].items()))


if __name__ == "__main__":
    main()
