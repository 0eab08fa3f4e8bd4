"""Dagster on this machine: one code server, the webserver and the daemon.

What `dagster dev` starts, without its wrapper: that one leaves code servers and runs behind for up to 45 s
after a signal, and its parts cannot be ended in an order of ours.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psutil
import psycopg
import sqlalchemy

from ecom_lakehouse.settings import LOCALHOST, PROJECT_ROOT, Settings
from ecom_lakehouse.stack.environment import settings_environment
from ecom_lakehouse.stack.ports import free_port, is_listening
from ecom_lakehouse.stack.processes import descendants, wait_gone
from ecom_lakehouse.stack.service import Service
from ecom_lakehouse.stack.web import answers

INSTANCE = PROJECT_ROOT / "infra" / "dagster" / "local.yaml"
MODULE = "ecom_lakehouse.definitions"
DRAIN_SECONDS = 12.0
INTERRUPT_SECONDS = 3.0
RESERVED_SECONDS = 10.0
"""What the services that end after the runs may need of the time for the whole stop."""
POLL_SECONDS = 0.1
RUN_WORKER = "multiprocessing.spawn"
"""What the command line of a process holds that carries out a run: the code server spawns one for each."""


def orchestration_services(
    settings: Settings, storage: Sequence[str], sources: Sequence[str]
) -> list[Service]:
    """Dagster's services; runs in progress are given a while to end before the code server is ended.

    `storage` names the services that Dagster itself needs, `sources` those that its sensors read from.
    """
    folder = settings.home / "dagster"
    code_port = free_port()
    environment = dagster_environment(settings)

    def prepare() -> None:
        for name in ("compute_logs", "artifacts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "dagster.yaml").write_text(INSTANCE.read_text())
        (folder / "workspace.yaml").write_text(_workspace(code_port))

    workspace = ["--workspace", str(folder / "workspace.yaml")]
    daemon_started: list[datetime] = []
    return [
        Service(
            name="code-server",
            command=[
                *_module("dagster"), "api", "grpc", "--module-name", MODULE, "--host", LOCALHOST,
                "--port", str(code_port), "--location-name", "ecom_lakehouse",
                "--use-python-environment-entry-point",
            ],
            is_ready=lambda: is_listening(code_port),
            needs=tuple(storage),
            environment=environment,
            prepare=prepare,
            before_stop=drain_runs,
            stop_stage=1,
            stop_seconds=5.0,
        ),
        Service(
            name="webserver",
            command=[
                *_module("dagster_webserver"), "--host", LOCALHOST, "--port", str(settings.dagster_port), *workspace
            ],
            is_ready=lambda: answers(f"http://{LOCALHOST}:{settings.dagster_port}/server_info"),
            port=settings.dagster_port,
            port_setting="LAKEHOUSE_DAGSTER_PORT",
            needs=("code-server",),
            environment=environment,
            stop_stage=0,
            stop_seconds=5.0,
        ),
        Service(
            name="daemon",
            # first the runs that Dagster believes to be at work though the last stop cut them off
            command=[
                "sh", "-c", '"$0" -m ecom_lakehouse.defs.dead_runs && exec "$0" "$@"',
                *_module("dagster._daemon"), "run", *workspace,
            ],
            is_ready=lambda: _beats(settings, daemon_started[-1]),
            needs=("code-server", *sources),
            environment=environment,
            prepare=lambda: daemon_started.append(datetime.now(UTC)),
            stop_stage=0,
            stop_seconds=5.0,
        ),
    ]  # fmt: skip


def dagster_environment(settings: Settings) -> dict[str, str]:
    """What any process of Dagster's needs to find its instance and the platform's settings."""
    folder = settings.home / "dagster"
    url = sqlalchemy.make_url(settings.dagster_postgres_url).set(drivername="postgresql+psycopg2")
    return {
        **settings_environment(settings),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_POSTGRES_URL": url.render_as_string(hide_password=False),
        "DAGSTER_COMPUTE_LOGS": str(folder / "compute_logs"),
        "DAGSTER_ARTIFACTS": str(folder / "artifacts"),
        # what is still asked of the code server when it is told to end; its own patience is a minute
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1",
        "PYTHONUNBUFFERED": "1",
    }


def drain_runs(code_server_pid: int, seconds: float) -> None:
    """Waits a bounded time until the code server carries out no run any more; interrupts what goes on then.

    An interrupted run is recorded as such by Dagster; its slice is finished by the next start.
    """
    deadline = time.monotonic() + min(DRAIN_SECONDS, seconds - RESERVED_SECONDS)
    while (workers := _run_workers(code_server_pid)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.send_signal(signal.SIGINT)
    wait_gone(workers, INTERRUPT_SECONDS)


def _run_workers(code_server_pid: int) -> list[psutil.Process]:
    try:
        server = psutil.Process(code_server_pid)
        return [one for one in descendants(server) if any(RUN_WORKER in part for part in one.cmdline())]
    except psutil.Error:
        return []


def _beats(settings: Settings, since: datetime) -> bool:
    """Whether every kind of daemon has shown itself since then."""
    try:
        with psycopg.connect(settings.dagster_postgres_url, connect_timeout=2) as connection:
            row = connection.execute(
                "select count(*) from daemon_heartbeats where timestamp >= %s and daemon_type in ('SENSOR',"
                " 'QUEUED_RUN_COORDINATOR')",
                (since.replace(tzinfo=None),),
            ).fetchone()
    except psycopg.Error:
        return False
    return row is not None and row[0] == 2


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]


def _workspace(port: int) -> str:
    return (
        "load_from:\n  - grpc_server:\n"
        f"      host: {LOCALHOST}\n      port: {port}\n      location_name: ecom_lakehouse\n"
    )
