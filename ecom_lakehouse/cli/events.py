"""`lakehouse events`: shop events onto the topic, steadily or as a scenario."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer
from rich.console import Console

from ecom_lakehouse.core.scenarios import SCENARIOS
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import GeneratorSettings, load_generator_settings, load_settings

SETTING = "Settings (each also a variable, such as EVENTS_PER_SEC)"
SCENARIO = "Scenario"
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


def _setting(name: str, most: float | None = None) -> Any:
    """The option that stands for a setting, with its meaning and default from the settings themselves."""
    field = GeneratorSettings.model_fields[name]
    return typer.Option(
        min=1 if name == "late_max_seconds" else 0,
        max=most,
        rich_help_panel=SETTING,
        help=f"{field.description} \\[{field.default}]",
    )


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("events")(events)


def events(
    events_per_sec: Annotated[float | None, _setting("events_per_sec")] = None,
    max_events: Annotated[int | None, _setting("max_events")] = None,
    dup_rate: Annotated[float | None, _setting("dup_rate", most=1)] = None,
    late_rate: Annotated[float | None, _setting("late_rate", most=1)] = None,
    late_max_seconds: Annotated[int | None, _setting("late_max_seconds")] = None,
    invalid_rate: Annotated[float | None, _setting("invalid_rate", most=1)] = None,
    seed: Annotated[int | None, _setting("seed")] = None,
    log_every: Annotated[int | None, _setting("log_every")] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SCENARIO, help=f"A realistic day with faults in it: {', '.join(SCENARIOS)}."
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(rich_help_panel=SCENARIO, help="Write what was put in, and when, as JSON lines."),
    ] = None,
    historical: Annotated[
        float | None,
        typer.Option(
            min=0, max=364, metavar="DAYS", rich_help_panel=SCENARIO, help="The last so many days, then end."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=TIMES,
            metavar="TIME",
            rich_help_panel=SCENARIO,
            help="A past from then on (UTC).",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--to", formats=TIMES, metavar="TIME", rich_help_panel=SCENARIO, help="Its end; now if left out."
        ),
    ] = None,
    each: Annotated[
        int, typer.Option(min=1, rich_help_panel=SCENARIO, help="Faults of each kind in the scenario.")
    ] = 1,
    lead_minutes: Annotated[
        int, typer.Option(min=0, rich_help_panel=SCENARIO, help="Quiet minutes before the first fault.")
    ] = 0,
    minutes: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=SCENARIO, help="Live: put the faults into so many minutes; then go on."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Send shop events to Kafka until Ctrl-C, and say at the end what was sent.

    Without a scenario they come at an even pace. With one they follow a shop's day and week, live or, by
    --historical or --from, as the past at full speed; EVENTS_PER_SEC is then the mean over a week.
    """
    from ecom_lakehouse.generator.plan import Span, plan
    from ecom_lakehouse.generator.run import Run

    given = {
        "events_per_sec": events_per_sec,
        "max_events": max_events,
        "dup_rate": dup_rate,
        "late_rate": late_rate,
        "late_max_seconds": late_max_seconds,
        "invalid_rate": invalid_rate,
        "seed": seed,
        "log_every": log_every,
    }
    generator = load_generator_settings(**{name: value for name, value in given.items() if value is not None})
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    run = Run(load_settings(), generator, say, _stopped_by_signals())
    span = Span.of(datetime.now(UTC), historical_days=historical, since=_utc(since), until=_utc(until))
    if scenario is None and span is None:
        if truth:
            raise SettingsError("--truth says what a scenario puts in: name one with --scenario")
        run.wait_for_kafka()
        run.steady()
    else:
        make_plan = partial(
            plan,
            scenario or "calm",
            generator,
            span,
            each=each,
            lead=timedelta(minutes=lead_minutes),
            lasts=timedelta(minutes=minutes) if minutes else None,
        )
        make_plan()  # what it refuses, it refuses before the wait; a live one begins after it
        run.wait_for_kafka()
        planned = make_plan()
        for fault in planned.faults():
            say(fault)
        if truth:
            truth.write_text(planned.truth_lines())
        (run.historical if span else run.live)(planned.arrivals())
    summary = run.finish()
    print(json.dumps(summary.as_json()) if as_json else summary.text())
    if summary.failed or summary.unconfirmed:
        raise typer.Exit(1)


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at else None


def _stopped_by_signals() -> Event:
    """Set by Ctrl-C and SIGTERM, so that a run ends between two events, delivers and sums up."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
