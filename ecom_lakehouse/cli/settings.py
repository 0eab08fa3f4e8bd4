"""`lakehouse settings`: what is in force."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ecom_lakehouse.settings import PREFIX, load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("settings")(show_settings)


def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    show_secrets: Annotated[bool, typer.Option(help="Print passwords and storage options too.")] = False,
) -> None:
    """Print the resolved settings."""
    values = load_settings().public(show_secrets=show_secrets)
    if as_json:
        print(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        print(f"{PREFIX}{name.upper():<28} {value}")
