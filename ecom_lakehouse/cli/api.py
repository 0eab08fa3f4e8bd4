"""`lakehouse api`: the API alone; `lakehouse api-key`: who may call it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ecom_lakehouse.settings import PREFIX, load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("api")(serve_api)
    app.command("api-key")(make_key)


def serve_api() -> None:
    """Start the API alone, on LAKEHOUSE_API_HOST and LAKEHOUSE_API_PORT."""
    from ecom_lakehouse.serving.api.server import serve

    serve(load_settings())


def make_key(
    name: Annotated[
        str, typer.Argument(help="Who will use it: the rate limit counts, and refusals name it, by this.")
    ],
    role: Annotated[Literal["read", "write"], typer.Option(help="`write` may acknowledge alerts.")] = "read",
) -> None:
    """Make a key for the API. It is shown once; the settings keep only its hash."""
    import hashlib
    import json
    import secrets

    key = f"lh_{secrets.token_urlsafe(32)}"
    entry = {name: {"role": role, "sha256": hashlib.sha256(key.encode()).hexdigest()}}
    print(f"The key, shown only now:\n  {key}")
    print(
        f"Its entry in the settings (several entries are one JSON object):\n  {PREFIX}API_KEYS='{json.dumps(entry)}'"
    )
