"""`lakehouse tree`: how a table lies in storage."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from ecom_lakehouse.settings import load_settings


class Layer(StrEnum):
    """The layers that are Delta tables."""

    BRONZE = "bronze"
    SILVER = "silver"
    QUARANTINE = "quarantine"


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("tree")(show_tree)


def show_tree(
    layer: Annotated[Layer, typer.Argument(help="The table to show.")],
    last: Annotated[int, typer.Option(min=1, help="How many of the newest partitions to list.")] = 48,
) -> None:
    """Show a table's partitions with files, rows and bytes, as the Delta log has them."""
    from ecom_lakehouse.lake.layout import partition_folders
    from ecom_lakehouse.lake.tables import Lake, LakeTable

    table: LakeTable = getattr(Lake(load_settings()), layer.value)
    folders = partition_folders(table)
    console = Console()
    console.print(table.uri, soft_wrap=True, highlight=False)
    if not folders:
        console.print(
            "empty: no slice has brought a row yet; `make events` sends some, `lakehouse status` tells."
        )
        return
    shown = folders[-last:]
    grid = Table("partition", box=None, show_footer=True)
    for name in ("files", "rows", "bytes"):
        grid.add_column(name, justify="right")
    if len(shown) < len(folders):
        grid.add_row(f"… {len(folders) - len(shown)} older", "", "", "")
    for folder in shown:
        grid.add_row(folder.name, f"{folder.files:,}", f"{folder.rows:,}", decimal(folder.bytes))
    totals = (
        f"{len(folders):,} partitions",
        f"{sum(folder.files for folder in folders):,}",
        f"{sum(folder.rows for folder in folders):,}",
        decimal(sum(folder.bytes for folder in folders)),
    )
    for column, total in zip(grid.columns, totals, strict=True):
        column.footer = total
    console.print(grid)
