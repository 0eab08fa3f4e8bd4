"""`lakehouse topics`: the topic of raw events, made where it is missing."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from ecom_lakehouse.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("topics")(topics)


def topics() -> None:
    """Create the topic where it is missing; list its partitions, offsets, and the lag of the lake."""
    from ecom_lakehouse.stack.topic import create_topic, partition_rows

    settings = load_settings()
    console = Console()
    if create_topic(settings):
        console.print(f"{settings.topic} was created on {settings.kafka_bootstrap_servers}.", soft_wrap=True)
    table = Table(
        "topic",
        "partition",
        "earliest",
        "end",
        "planned to",
        "lag",
        box=None,
        header_style="bold",
        highlight=True,
    )
    rows = partition_rows(settings)
    for row in rows:
        position = "–" if row.position is None else str(row.position)
        table.add_row(
            settings.topic, str(row.partition), str(row.earliest), str(row.end), position, str(row.lag)
        )
    console.print(table)
    console.print(f"lag: {sum(row.lag for row in rows)} messages that no slice holds yet")
