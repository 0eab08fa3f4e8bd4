"""The API under load: 90 days of minutes in a Postgres of its own, 50 clients, the API on one core.

    apt-get install hey
    .venv/bin/python -m benchmarks.api_load            # a minute a question
    .venv/bin/python -m benchmarks.api_load --seconds 10

`hey` asks and measures; Postgres and `hey` run on the other cores. Prints one line a question, and the
connections that the API holds afterwards. At the end Postgres is killed in the middle of a question, and started
again five seconds later.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path

import psutil
import psycopg

from ecom_lakehouse.lake.database import migrate
from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.child import Child, started
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.postgres import create_roles, postgres_service

CLIENTS = 50
AWAY_SECONDS = 5
API_CORE = max(os.sched_getaffinity(0))
MINUTES = 90 * 24 * 60

FILL = """
insert into lake.topics (topic_id, cluster_id, topic) values ('t', 'c', 'ecom.events.raw.v1');
insert into lake.slices (slice_id, topic_id, planned_at, planned_hour, reaches_end, next_layer,
                         bronze_at, silver_at, gold_at, bronze_rows, silver_rows, quarantine_rows, duplicate_rows)
select n, 't', t, date_trunc('hour', t, 'UTC'), true, null, t, t, t, 1200, 1116, 60, 24
from (select n, date_trunc('minute', now()) - (%(minutes)s - n) * interval '1 minute' as t
      from generate_series(1, %(minutes)s) n) minutes;
insert into serving.kpi_minute (window_start, metric, value)
select window_start, metric,
       case when metric like 'events%%' then (100 + random() * 50)::int
            when metric = 'revenue' then round((random() * 1000)::numeric, 4)
            else round(random()::numeric, 6) end
from generate_series(date_trunc('minute', now()) - %(minutes)s * interval '1 minute',
                     date_trunc('minute', now()) - interval '1 minute', interval '1 minute') window_start,
     unnest(array['events_total', 'events_click', 'events_add_to_cart', 'events_checkout', 'events_purchase',
                  'revenue', 'aov', 'add_to_cart_rate', 'checkout_rate', 'purchase_conversion']) metric
"""


def questions() -> list[tuple[str, str, int]]:
    """A name, a path, and how many requests a second are asked for (0: as many as there are answers)."""
    month_ago = time.strftime("%Y-%m-%dT00:00Z", time.gmtime(time.time() - 30 * 86400))
    month = f"/kpis?metric=revenue&step=hour&from={month_ago}"
    return [
        ("latest at 300/s", "/kpis/latest", 300),
        ("latest, all it can", "/kpis/latest", 0),
        ("3 h of 1 metric at 100/s", "/kpis?metric=revenue", 100),
        ("3 h of 1 metric, all it can", "/kpis?metric=revenue", 0),
        ("30 d by hour at 50/s", month, 50),
        ("30 d by hour, all it can", month, 0),
    ]


def main() -> None:
    """Fills, asks, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="how long each question is asked")
    seconds = parser.parse_args().seconds
    if not shutil.which("hey"):
        sys.exit("hey is missing: apt-get install hey")
    with tempfile.TemporaryDirectory(prefix="lakehouse-bench-") as name:
        folder = Path(name)
        settings = Settings(_env_file=None, home=folder, postgres_port=free_port(), api_port=free_port())
        service = postgres_service(folder / "postgres", settings.postgres_port)
        with started(service, folder / "postgres.log", folder) as postgres:
            create_roles(folder / "postgres", settings.postgres_port)
            migrate(settings)
            fill(settings)
            log = (folder / "api.log").open("wb")
            with log, subprocess.Popen(api_command(), env=environment(settings), stderr=log) as api:
                try:
                    wait_for(settings)
                    for title, path, rate in questions():
                        print(
                            measured(title, f"{settings.api_url}{path}", rate, seconds, api.pid), flush=True
                        )
                    print(f"connections of the API afterwards: {connections(settings)}")
                    url = f"{settings.api_url}/kpis/latest"
                    with Timer(seconds / 3, partial(interrupt, postgres)):
                        print(measured("Postgres away for 5 s", url, 300, seconds, api.pid), flush=True)
                    print(f"connections of the API afterwards: {connections(settings)}")
                finally:
                    api.terminate()


class Timer(threading.Timer):
    """A call after a delay, which has ended when the block is left."""

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_error: object) -> None:
        self.join()


def interrupt(postgres: Child) -> None:
    """Kills the server, and starts it again a little later."""
    assert postgres.running is not None
    os.kill(postgres.running.pid, signal.SIGKILL)
    time.sleep(AWAY_SECONDS)
    postgres.start()
    postgres.wait_ready()


def fill(settings: Settings) -> None:
    """1,296,000 values, and the slices that brought them."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        for statement in FILL.split(";\n"):
            connection.execute(statement, {"minutes": MINUTES} if "%(" in statement else None)
        for table in ("serving.kpi_minute", "serving.kpi_hour", "lake.slices"):
            connection.execute(f"vacuum analyze {table}")


def api_command() -> list[str]:
    """The API on one core."""
    return ["taskset", "-c", str(API_CORE), sys.executable, "-m", "ecom_lakehouse.serving.api"]


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the API's process reads them."""
    return {
        **os.environ,
        "LAKEHOUSE_HOME": str(settings.home),
        "LAKEHOUSE_POSTGRES_PORT": str(settings.postgres_port),
        "LAKEHOUSE_API_PORT": str(settings.api_port),
    }


def wait_for(settings: Settings) -> None:
    """Until the API answers."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(f"{settings.api_url}/ready", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"the API at {settings.api_url} did not come up")
            time.sleep(0.2)


def measured(title: str, url: str, rate: int, seconds: int, pid: int) -> str:
    """One question asked by `CLIENTS` clients, as a line; the API's CPU time is true on a busy machine too."""
    api = psutil.Process(pid)
    before = sum(api.cpu_times()[:2])
    command = ["hey", "-z", f"{seconds}s", "-c", str(CLIENTS)]
    command += ["-q", str(rate / CLIENTS)] if rate else []
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout

    def number(pattern: str) -> float:
        found = re.search(pattern, said)
        return float(found.group(1)) if found else float("nan")

    answered = re.findall(r"\[(\d+)\]\s+(\d+) responses", said)
    statuses = ", ".join(f"{count} × {status}" for status, count in answered)
    per_second = number(r"Requests/sec:\s+([\d.]+)")
    p50, p99 = (1000 * number(pattern) for pattern in (r"50%+ in ([\d.]+)", r"99%+ in ([\d.]+)"))
    requests = sum(int(count) for _, count in answered)
    cpu = 1000 * (sum(api.cpu_times()[:2]) - before) / max(requests, 1)
    return f"{title:<28} {per_second:7.1f}/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  cpu {cpu:5.2f} ms  {statuses}"


def connections(settings: Settings) -> int:
    """How many connections the API holds."""
    with psycopg.connect(settings.postgres_url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where application_name = 'lakehouse-api'"
        ).fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    main()
