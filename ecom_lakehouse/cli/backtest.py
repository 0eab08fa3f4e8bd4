"""`lakehouse backtest`: what a rule would have said of a series, row by row, by the sensor's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands of this subject."""
    app.command("backtest")(backtest)


def backtest(
    file: Annotated[
        Path, typer.Argument(help="A CSV file with the columns timestamp and value; - reads stdin.")
    ],
    rule: Annotated[str | None, typer.Option(help="The rule; the setting DETECTOR_RULE if left out.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Judge it as this metric of Gold (its kind and its settings).")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the rule.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the CSV goes; stdout if left out.")] = None,
    plot: Annotated[Path | None, typer.Option(help="A picture as well: .png, .svg or .html.")] = None,
) -> None:
    """Score a CSV of timestamp,value with a detection rule, row by row without looking ahead."""
    from zoneinfo import ZoneInfo

    from rich.console import Console

    from ecom_lakehouse.core.detection.rules import kind_of
    from ecom_lakehouse.serving.backtest import check_picture, draw, read_series, score, summary, write_scored
    from ecom_lakehouse.serving.detectors import backtest_detector, backtest_kind
    from ecom_lakehouse.settings import load_settings

    settings = load_settings()
    if plot is not None:
        check_picture(plot)
    zone = ZoneInfo(settings.detector_time_zone)
    rows = read_series(file, zone)
    has_support = any(row.support is not None for row in rows)
    judge = backtest_detector(settings, rule, metric, parameters or [], has_support)
    scored = score(rows, judge, zone)
    write_scored(scored, output)
    if plot is not None:
        draw(scored, plot, title=f"{file.name}: {judge.rule}")
    said = [summary(scored, judge.rule)]
    if metric is not None and backtest_kind(metric, has_support) is not kind_of(metric):
        said.append(
            f"There is no column support, so {metric} is judged as a series of which nothing is known."
        )
    if metric is not None and any(row.value is None for row in rows):
        said.append("Blanks are left out here; live, a minute without events counts as 0: write 0 for such.")
    Console(stderr=True).print("\n".join(said), highlight=False, soft_wrap=True, markup=False)
