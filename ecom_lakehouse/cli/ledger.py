"""`lakehouse status`, `verify`, and what a person may tell the ledger: pause, resume, release, adopt, rebuild."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ecom_lakehouse.settings import load_settings

if TYPE_CHECKING:
    from ecom_lakehouse.lake.audit import AuditReport
    from ecom_lakehouse.lake.status import Status

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    for command in (status, verify, pause, resume, release, adopt_topic, rebuild_ledger, migrate):
        app.command()(command)


def status(as_json: AsJson = False) -> None:
    """Show lag, slices by state, rows by layer, the newest KPI minute, failing checks and what is held."""
    from ecom_lakehouse.lake.database import connect
    from ecom_lakehouse.lake.status import read_status

    with connect(load_settings(), autocommit=True) as connection:
        found = read_status(connection)
    if as_json:
        print(json.dumps(found.as_json(), default=str, indent=2))
    else:
        _print_status(found)


def verify(as_json: AsJson = False) -> None:
    """Audit what is stored against what is promised; exit 1 if anything differs."""
    from ecom_lakehouse.lake.audit import audit

    console = Console(stderr=True)
    with console.status("Comparing the ledger, Bronze, Silver, Quarantine and Gold …"):
        report = audit(load_settings())
    if as_json:
        print(json.dumps(_audit_json(report), default=str, indent=2))
    else:
        _print_audit(report)
    raise typer.Exit(0 if report.passed else 1)


def migrate() -> None:
    """Bring Postgres' schemas to the newest version."""
    from ecom_lakehouse.lake import database

    database.migrate(load_settings())
    print("The schemas lake and serving are up to date.")


def pause() -> None:
    """Stop starting new work; what runs is finished. Kafka keeps what arrives."""
    from ecom_lakehouse.lake import ledger

    ledger.pause(load_settings(), "person")
    print("Paused. Nothing new is started until `lakehouse resume`; Kafka keeps what arrives.")


def resume() -> None:
    """Go on after `lakehouse pause`."""
    from ecom_lakehouse.lake import ledger

    ledger.resume(load_settings(), "person")
    print("Going on at the sensor's next tick.")


def release(
    slice_id: Annotated[int, typer.Argument(help="The held slice; `lakehouse status` names it.")],
) -> None:
    """Let a held slice go on: it is written again from the layer whose check failed, and checked again."""
    from ecom_lakehouse.errors import LedgerError
    from ecom_lakehouse.lake.database import connect
    from ecom_lakehouse.lake.ledger import Ledger
    from ecom_lakehouse.lake.writer import no_writer

    settings = load_settings()
    with no_writer(settings), connect(settings, autocommit=True) as connection:
        ledger = Ledger(connection)
        held = ledger.slice(slice_id)
        if held.held_reason is None:
            raise LedgerError(f"Slice {slice_id} is not held; `lakehouse status` lists those that are.")
        ledger.release(slice_id)
    print(f"Slice {slice_id} goes on at the sensor's next tick. It was held because: {held.held_reason}")


def adopt_topic(yes: Yes = False) -> None:
    """Begin a topic that was made anew, or that is on another cluster, at its earliest offset."""
    from ecom_lakehouse.lake.database import connect
    from ecom_lakehouse.lake.ledger import Ledger
    from ecom_lakehouse.lake.topic import look_at_topic
    from ecom_lakehouse.lake.writer import no_writer

    settings = load_settings()
    snapshot = look_at_topic(settings)
    if not yes:
        typer.confirm(
            f"Read {settings.topic} (id {snapshot.topic_id}) from its earliest offset from now on, and the one "
            "known so far no more?",
            abort=True,
        )
    with no_writer(settings), connect(settings, autocommit=True) as connection:
        ledger = Ledger(connection)
        ledger.adopt_topic(snapshot)
        ledger.set_blocked(None)
    print(f"{settings.topic} (id {snapshot.topic_id}) is the one that is read from now on.")


def rebuild_ledger(yes: Yes = False) -> None:
    """Make the ledger anew from Bronze, after Postgres was restored from an older dump or lost."""
    from ecom_lakehouse.lake.ledger_rebuild import rebuild_from_bronze

    if not yes:
        typer.confirm(
            "Replace the ledger by what Bronze holds? Silver and Gold are then written anew.", abort=True
        )
    slices = rebuild_from_bronze(load_settings())
    print(f"The ledger holds {slices} slices now; the sensor writes their Silver and Gold anew.")


def _print_status(found: Status) -> None:
    console = Console()
    mark = "[green]healthy[/]" if found.healthy else "[bold red]needs a person[/]"
    console.print(f"[bold]ecom-lakehouse[/] {mark}  {found.at:%Y-%m-%d %H:%M:%S}Z", highlight=False)
    table = Table.grid(padding=(0, 2))
    states = ", ".join(f"{count} {state}" for state, count in found.slices_by_state.items()) or "none yet"
    rows = ", ".join(f"{name} {count:,}" for name, count in found.rows_by_layer.items())
    table.add_row(
        "lag", f"{found.lag_messages:,} messages (looked at {_ago(found.topic_looked_at, found.at)})"
    )
    table.add_row("slices", states)
    table.add_row("rows", rows)
    table.add_row("newest KPI minute", _ago(found.newest_minute, found.at))
    table.add_row("all in Gold up to", _ago(found.closed_until, found.at))
    if found.lost_offsets:
        table.add_row(
            "lost", f"[red]{found.lost_offsets:,} offsets that Kafka had dropped before they were read[/]"
        )
    if found.paused_by:
        table.add_row("paused", f"[yellow]by a {found.paused_by}; `lakehouse resume` goes on[/]")
    if found.blocked:
        table.add_row("blocked", f"[red]{found.blocked}[/]")
    for failing in found.keeps_failing:
        error = f"slice {failing['slice_id']}, {failing['attempts']} tries: {failing['last_error']}"
        table.add_row("failing", f"[red]{escape(error)}[/]")
    for held in found.held:
        table.add_row("held", f"[red]slice {held['slice_id']}: {held['held_reason']}[/]")
    for check in found.failing_checks:
        colour = "red" if check["severity"] == "error" else "yellow"
        hour = f"{check['planned_hour']:%m-%d %H:00}"
        table.add_row(
            "check", f"[{colour}]{check['asset']}.{check['check_name']}[/] {hour}: {check['description']}"
        )
    console.print(table, highlight=False)


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "none yet"
    return f"{moment:%Y-%m-%d %H:%M:%S}Z, {max(0, (now - moment).total_seconds()):.0f} s ago"


def _print_audit(report: AuditReport) -> None:
    console = Console()
    rows = ", ".join(f"{name} {count:,}" for name, count in report.rows.items())
    console.print(
        f"{report.finished_slices} finished slices; {rows}; {report.minutes:,} minutes of Gold",
        highlight=False,
    )
    if report.unfinished_slices:
        console.print(
            f"[yellow]not judged, unfinished:[/] slices {report.unfinished_slices}", highlight=False
        )
    if report.lost_offsets:
        console.print(
            f"[yellow]lost before they were read:[/] {report.lost_offsets:,} offsets", highlight=False
        )
    if report.passed:
        console.print("[bold green]Everything is as promised.[/]")
        return
    table = Table("promise", "where", "rows", "rebuild the hour", title="What differs", title_justify="left")
    for each in report.differences:
        hour = f"{each.rebuild_hour:%Y-%m-%d-%H:00}" if each.rebuild_hour else "–"
        table.add_row(each.promise, each.where, f"{each.rows:,}", hour)
    console.print(table)
    hours = " ".join(f"{hour:%Y-%m-%d-%H:00}" for hour in report.rebuild_hours)
    if hours:
        console.print(f"Materialize these partitions in Dagster's UI: {hours}", highlight=False)


def _audit_json(report: AuditReport) -> dict[str, object]:
    return {
        "passed": report.passed,
        "finished_slices": report.finished_slices,
        "unfinished_slices": report.unfinished_slices,
        "rows": report.rows,
        "minutes": report.minutes,
        "lost_offsets": report.lost_offsets,
        "rebuild_hours": report.rebuild_hours,
        "differences": [vars(each) for each in report.differences],
    }
