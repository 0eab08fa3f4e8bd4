"""`lakehouse sql`: questions to the lake and Gold, at a prompt or one by one."""

from __future__ import annotations

import atexit
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecom_lakehouse.errors import LakehouseError, ServingError
from ecom_lakehouse.settings import load_settings

if TYPE_CHECKING:
    from ecom_lakehouse.lake.sql import Sql

MOST_ROWS_SHOWN = 100
PIPED_WIDTH = 200
HISTORY = "sql_history"
MOST_REMEMBERED = 1000
PROMPT, CONTINUED = "lakehouse> ", "      ...> "
WELCOME = """\
Views: bronze, silver, quarantine (the lake), kpi_minute, alerts (Gold). Times are UTC; nothing can be changed.
End a question with ;  ·  \\d lists the views, \\d NAME the columns  ·  \\q or Ctrl-D ends.
"""


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("sql")(ask)


def ask(
    command: Annotated[str | None, typer.Option("-c", "--command", help="One question; no prompt.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer to a .csv or .parquet file.")
    ] = None,
) -> None:
    """Ask the lake and Gold in SQL (DuckDB; read-only)."""
    from ecom_lakehouse.lake.sql import Sql

    settings = load_settings()
    if output is not None and command is None:
        raise ServingError("--output writes the answer to one question: give it with -c.")
    with Sql(settings) as sql:
        if command is not None and output is not None:
            print(f"{sql.write(command, output):,} rows written to {output.absolute()}")
        elif command is not None:
            _show(sql, command)
        elif sys.stdin.isatty():
            _remember(settings.home / HISTORY)
            print(WELCOME)
            _converse(sql)
        else:
            for statement in _statements(sys.stdin.read()):
                _show(sql, statement)


def _show(sql: Sql, statement: str) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    sql.show(statement, width, MOST_ROWS_SHOWN)


def _statements(text: str) -> list[str]:
    """The statements of a script, as DuckDB itself parts them."""
    import duckdb

    try:
        return [each.query for each in duckdb.extract_statements(text)]
    except duckdb.Error as error:
        raise ServingError(str(error).splitlines()[0]) from error


def _remember(history: Path) -> None:
    import readline

    history.parent.mkdir(parents=True, exist_ok=True)
    if history.exists():
        readline.read_history_file(history)
    readline.set_history_length(MOST_REMEMBERED)
    atexit.register(readline.write_history_file, history)


def _converse(sql: Sql) -> None:
    """Reads, answers, goes on after a mistake; until the end of the input."""
    from rich.console import Console
    from rich.markup import escape

    lines: list[str] = []
    while True:
        try:
            line = input(CONTINUED if lines else PROMPT)
        except KeyboardInterrupt:
            lines.clear()
            print()
            continue
        except EOFError:
            print()
            return
        if not lines and line.strip().startswith("\\"):
            statement = _meant_by(line.strip())
            if statement is None:
                return
        else:
            lines.append(line)
            statement = "\n".join(lines).strip()
            if not statement.endswith(";"):
                if not statement:
                    lines.clear()
                continue
            lines.clear()
        try:
            _show(sql, statement)
        except LakehouseError as error:
            Console(stderr=True).print(f"[red]{escape(str(error))}[/]", highlight=False, soft_wrap=True)
        except KeyboardInterrupt:
            print("stopped")


def _meant_by(line: str) -> str | None:
    """The question behind `\\d` and `\\d NAME`; None for `\\q`."""
    word, _, name = line.partition(" ")
    if word == "\\q":
        return None
    if word == "\\d" and name.strip():
        return f"describe {name.strip()}"
    return "show tables"
