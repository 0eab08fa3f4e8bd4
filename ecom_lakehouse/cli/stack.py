"""`lakehouse run`, `stop`, `ps`, `logs`, `clean`: the local stack."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecom_lakehouse.settings import load_settings

LOG_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("run")(run)
    app.command("stop")(stop)
    app.command("ps")(ps)
    app.command("logs")(logs)
    app.command("clean")(clean)


def run() -> None:
    """Run the whole platform on this machine; Ctrl-C ends it."""
    from ecom_lakehouse.stack.local import run as run_stack

    run_stack(load_settings(), Console())


def stop() -> None:
    """End the stack that another terminal runs, in order."""
    from ecom_lakehouse.stack.remote import stop_stack

    home = load_settings().home
    with Console().status("ending the stack …"):
        outcome = stop_stack(home)
    print(outcome)


def ps() -> None:
    """Show the stack's processes: state, port, memory with all they started, uptime."""
    from ecom_lakehouse.stack.remote import process_rows

    home = load_settings().home
    table = Table(
        "service", "state", "port", "pid", "memory", "uptime", "restarts", box=None, header_style="bold"
    )
    rows = process_rows(home)
    for row in rows:
        style = {"ready": "green", "starting": "yellow"}.get(row.state, "red")
        table.add_row(
            row.name,
            f"[{style}]{row.state}[/]",
            str(row.port or ""),
            str(row.pid or ""),
            f"{row.memory_megabytes:.0f} MB" if row.pid else "",
            _duration(row.uptime_seconds) if row.pid else "",
            str(row.restarts) if row.restarts else "",
        )
    total = sum(row.memory_megabytes for row in rows)
    console = Console()
    if not rows:
        console.print(f"No stack was ever started on {home}: `make run` starts one.")
        return
    console.print(table)
    console.print(f"[bold]{total:.0f} MB[/] in all; home {home}", highlight=False, soft_wrap=True)


def logs(
    names: Annotated[
        list[str] | None, typer.Argument(help="Services to show; all of them if none is named.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on showing what comes.")] = True,
    lines: Annotated[
        int, typer.Option(min=0, help="Lines of the past to begin with, for each service.")
    ] = 10,
) -> None:
    """Show the services' logs together, each line with its service's name."""
    from ecom_lakehouse.stack.logs import log_files, log_lines

    console = Console(soft_wrap=True, highlight=False)
    files = log_files(load_settings().home, names or [])
    colours = {name: LOG_COLOURS[number % len(LOG_COLOURS)] for number, name in enumerate(files)}
    width = max(map(len, files), default=0)
    try:
        for name, line in log_lines(files, lines, follow=follow):
            console.print(f"[{colours[name]}]{name:<{width}}[/] ", end="")
            console.print(line, markup=False)
    except KeyboardInterrupt:
        return


def clean(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; a script must say so.")] = False,
) -> None:
    """Remove the local state: tables, topics, databases, logs. Downloads stay."""
    from ecom_lakehouse.stack.remote import clean_home

    settings = load_settings()
    if not yes and settings.home.exists():
        typer.confirm(
            f"Remove everything in {settings.home} (downloads stay; --yes does not ask)?", abort=True
        )
    clean_home(settings)
    print(f"{settings.home} is clean; `make run` begins anew.")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"
