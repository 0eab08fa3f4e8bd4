"""`lakehouse quarantine`: which rules were broken by whom, the messages, and repaired ones back onto the topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from ecom_lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from ecom_lakehouse.lake.quarantine import Selection
    from ecom_lakehouse.lake.tables import LakeTable

SHOWN = 10
EXPORTED = 100_000
HOURS = ["%Y-%m-%d-%H:%M", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M"]


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command()(quarantine)


def quarantine(
    rule: Annotated[str | None, typer.Option(help="Only messages that break this rule (its code).")] = None,
    hour: Annotated[
        datetime | None,
        typer.Option(
            formats=HOURS, metavar="HOUR", help="Only this hour of ingestion, UTC: Dagster's partition."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Only this producer (the field `source`; '(none)' without one).")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the messages themselves.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write them as JSON lines; `-` is the terminal.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Send the repaired messages of an exported file back to the topic."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"The most messages to show ({SHOWN}) or export ({EXPORTED:,}).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before sending.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List what is in Quarantine by hour, rule and producer; show, export or replay the messages."""
    from ecom_lakehouse.lake.quarantine import Selection
    from ecom_lakehouse.lake.tables import Lake

    settings = load_settings()
    if replay is not None:
        _replay(settings, replay, yes)
        return
    selection = Selection(
        rule=_known(rule), hour=hour.replace(tzinfo=UTC, minute=0) if hour else None, source=source
    )
    table = Lake(settings).quarantine
    if export is not None:
        _export(table, selection, export, limit or EXPORTED)
    elif show:
        _show(table, selection, limit or SHOWN, as_json)
    else:
        _list(table, selection, as_json)


def _known(rule: str | None) -> str | None:
    from ecom_lakehouse.core.rules import CODES

    if rule is not None and rule not in CODES:
        raise typer.BadParameter(
            f"{rule!r} is no rule: the codes are {', '.join(CODES)}", param_hint="--rule"
        )
    return rule


def _list(table: LakeTable, selection: Selection, as_json: bool) -> None:
    from ecom_lakehouse.lake.quarantine import groups

    found = groups(table, selection)
    if as_json:
        print(json.dumps([vars(each) for each in found], default=datetime.isoformat, indent=2))
        return
    if not found:
        print("Nothing is in Quarantine that fits.")
        return
    columns = Table("hour", Column("rule", overflow="fold"), "producer", "messages", "newest")
    for each in found:
        columns.add_row(
            f"{each.hour:%Y-%m-%d-%H:00}",
            each.rule,
            each.source,
            f"{each.messages:,}",
            f"{each.newest:%H:%M:%S}Z",
        )
    Console().print(columns)


def _show(table: LakeTable, selection: Selection, limit: int, as_json: bool) -> None:
    from ecom_lakehouse.lake.quarantine import messages

    found = messages(table, selection, limit)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console()
    for each in found:
        console.print(
            f"{each['kafka_topic']}[{each['kafka_partition']}] offset {each['kafka_offset']}  "
            f"{each['kafka_timestamp']}  key {each.get('key', each.get('key_base64'))}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        console.print("  " + ", ".join(each["validation_errors"]), style="red", highlight=False)
        raw = each.get("raw", each.get("raw_base64"))
        console.print(
            f"  {'(no value)' if raw is None else raw}", highlight=False, markup=False, soft_wrap=True
        )
    print(f"{len(found)} messages; --export FILE writes more of them, to repair and --replay.")


def _export(table: LakeTable, selection: Selection, path: Path, limit: int) -> None:
    from ecom_lakehouse.lake.quarantine import messages

    found = messages(table, selection, limit + 1)
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found[:limit])
    if str(path) == "-":
        print(lines, end="")
        return
    path.write_text(lines)
    rest = f" There are more: --limit {limit * 10} takes them." if len(found) > limit else ""
    print(f"{len(found[:limit])} messages are in {path.absolute()}.{rest}")
    print(f"Repair `raw` in it, line by line, then: lakehouse quarantine --replay {path}")


def _replay(settings: Settings, path: Path, yes: bool) -> None:
    from ecom_lakehouse.errors import ReplayError
    from ecom_lakehouse.lake.replay import read_repaired, require_repaired, send

    if not path.is_file():
        raise ReplayError(f"{path.absolute()} is no file; `lakehouse quarantine --export FILE` writes one.")
    repaired = read_repaired(path)
    require_repaired(repaired, settings)
    if not yes:
        typer.confirm(f"Send {len(repaired)} repaired messages to {settings.topic}?", abort=True)
    print(f"Kafka confirmed {send(repaired, settings)} messages; the next micro-batch takes them.")
