"""`lakehouse docs`: the documents that are written from the code."""

from __future__ import annotations

from typing import Annotated

import typer

from ecom_lakehouse.settings import PROJECT_ROOT


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("docs")(write_documents)


def write_documents(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if one is out of date.")
    ] = False,
) -> None:
    """Write the contract, the rules and the JSON Schema under docs/ from the code."""
    from ecom_lakehouse.core.documents import DOCUMENTS

    stale = []
    for name, content in DOCUMENTS.items():
        path = PROJECT_ROOT / name
        wanted = content()
        if path.is_file() and path.read_text() == wanted:
            continue
        stale.append(name)
        if not check:
            path.write_text(wanted)
    if check and stale:
        print(f"Out of date: {', '.join(stale)}. Run `lakehouse docs` and commit what it writes.")
        raise typer.Exit(1)
    print(f"Written: {', '.join(stale)}" if stale else f"Up to date: {', '.join(DOCUMENTS)}")
