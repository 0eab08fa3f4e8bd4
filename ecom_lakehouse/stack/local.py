"""The local stack: which services there are, and what is said and done around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ecom_lakehouse.errors import LakehouseError
from ecom_lakehouse.lake import database, ledger
from ecom_lakehouse.settings import LOCALHOST, Settings
from ecom_lakehouse.stack import jars
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.orchestration import orchestration_services
from ecom_lakehouse.stack.postgres import create_roles, postgres_service
from ecom_lakehouse.stack.report import Report
from ecom_lakehouse.stack.service import Service
from ecom_lakehouse.stack.state import logs_folder
from ecom_lakehouse.stack.supervisor import Supervisor
from ecom_lakehouse.stack.topic import create_topic
from ecom_lakehouse.stack.web import web_services


def run(settings: Settings, console: Console) -> None:
    """Runs the local stack until it is told to end.

    Raises:
        StackError: something stands in the way; says what to do.
    """
    report = Report(console, logs_folder(settings.home) / "supervisor.log")
    report.say(f"ecom-lakehouse on {settings.home} (Ctrl-C ends it)", "bold")
    services = local_services(settings, console)
    Supervisor(
        settings.home,
        services,
        report,
        min_free_disk_mb=settings.min_free_disk_mb,
        when_up=lambda seconds: _say_where(settings, report, seconds),
        before_stop=lambda: _pause(settings, report),
    ).run()


def local_services(settings: Settings, console: Console) -> list[Service]:
    """The services in order of need; Kafka or Postgres only where the settings name no other."""
    ground: list[Service] = []
    if settings.kafka_bootstrap_servers == f"{LOCALHOST}:{settings.kafka_port}":
        with _download_progress(console) as progress:
            paths = jars.fetch_jars(settings, progress)
        kafka = kafka_service(settings.home / "kafka", settings.kafka_port, paths)
        ground.append(
            replace(
                kafka,
                after_ready=lambda: _create_topic(settings),
                port_setting="LAKEHOUSE_KAFKA_PORT",
                stop_stage=3,
            )
        )
    if f"@{LOCALHOST}:{settings.postgres_port}/" in settings.postgres_url:
        postgres = postgres_service(settings.home / "postgres", settings.postgres_port)
        ground.append(
            replace(
                postgres,
                after_ready=lambda: _prepare_database(settings),
                port_setting="LAKEHOUSE_POSTGRES_PORT",
                stop_stage=4,
            )
        )
    else:
        _prepare_tables(settings)
    storage, sources = (
        [service.name for service in ground if service.name == wanted] for wanted in ("postgres", "kafka")
    )
    return [*ground, *orchestration_services(settings, storage, sources), *web_services(settings, storage)]


def _create_topic(settings: Settings) -> None:
    create_topic(settings)


def _prepare_database(settings: Settings) -> None:
    create_roles(settings.home / "postgres", settings.postgres_port)
    _prepare_tables(settings)


def _prepare_tables(settings: Settings) -> None:
    database.migrate(settings)
    ledger.resume(settings, by="stop")


def _pause(settings: Settings, report: Report) -> None:
    """No new slice is planned while the stack ends; the next start lifts this, but not a person's pause."""
    try:
        ledger.pause(settings, by="stop")
    except LakehouseError as error:
        report.say(f"  planning could not be paused: {error}", "yellow")


def _say_where(settings: Settings, report: Report, seconds: float) -> None:
    report.say(f"Everything is up after {seconds:.0f} s.", "bold green")
    for name, url in (
        ("Dagster", settings.dagster_url),
        ("Dashboard", settings.dashboard_url),
        ("API", f"{settings.api_url}/docs"),
    ):
        report.say(f"  {name:<12} {url}")
    report.say("Next, in another terminal: make events   (make help lists the rest)")


@contextmanager
def _download_progress(console: Console) -> Iterator[jars.Progress]:
    """A bar for what must be downloaded; nothing appears where nothing must."""
    columns = (TextColumn("  Kafka's jars"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=console)
    task = bar.add_task("", total=None)

    def show(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
