"""The `lakehouse` command: one module a subject, each a thin shell over the package."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from ecom_lakehouse.cli import (
    api,
    backtest,
    docs,
    events,
    ledger,
    psql,
    quarantine,
    settings,
    sql,
    stack,
    topics,
    tree,
)
from ecom_lakehouse.errors import LakehouseError

app = typer.Typer(
    name="lakehouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def lakehouse() -> None:
    """A local-first real-time e-commerce lakehouse."""


for subject in (stack, topics, psql, settings, ledger, quarantine, events, api, sql, backtest, tree, docs):
    subject.register(app)


def main() -> None:
    """Runs the command; what the platform refuses is said in one red sentence, with exit code 2."""
    try:
        app()
    except LakehouseError as error:
        Console(stderr=True).print(
            f"[bold red]refused:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(2)
