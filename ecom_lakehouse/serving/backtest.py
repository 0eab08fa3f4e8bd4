"""A CSV series judged row by row, as the live scorer would have judged it."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TextIO

from ecom_lakehouse.core.detection import Detector, Severity, Verdict
from ecom_lakehouse.errors import ServingError

COLUMNS = ("timestamp", "value", "baseline", "lower", "upper", "score", "severity")
MISSING = {"", "nan", "null", "none", "na", "n/a", "inf", "+inf", "-inf", "infinity", "-infinity"}
EPOCH_MILLISECONDS = 1e11  # larger numbers are milliseconds since 1970, smaller ones seconds
MOST_SURPRISING = 5
LARGEST_FIELD = 10_000_000


@dataclass(frozen=True)
class Row:
    """One line of the file: as it was written, and as it is understood."""

    line: int
    timestamp_text: str
    value_text: str
    timestamp: datetime
    value: float | None
    support: float | None = None


@dataclass(frozen=True)
class Scored:
    """All rows with their verdicts, in the file's order, and what was odd about it."""

    rows: list[Row]
    verdicts: list[Verdict]
    out_of_order: int
    seconds: float


def read_series(file: Path, zone: tzinfo = UTC) -> list[Row]:
    """The rows of a CSV with the columns `timestamp` and `value`, and perhaps `support`, in any case and order.

    Timestamps are ISO 8601 or seconds (or milliseconds) since 1970; without an offset they are in `zone`. A blank
    value, NaN or null is a missing one. `-` reads stdin.

    Raises:
        ServingError: the file cannot be read, a column is missing, or a row is wrong; says in which line.
    """
    with _opened(file) as text:
        lines = csv.reader(text)
        try:
            header = [name.strip().lstrip("\ufeff").strip().lower() for name in next(lines)]
        except StopIteration:
            raise ServingError(f"{file} is empty; its first line must name timestamp and value") from None
        for column in ("timestamp", "value"):
            if header.count(column) != 1:
                raise ServingError(
                    f"{file}, line 1: {header.count(column)} columns are called {column}, one is needed; "
                    f"the line is {','.join(header)!r}"
                )
        places = header.index("timestamp"), header.index("value")
        support = header.index("support") if "support" in header else None
        try:
            return [_row(file, lines.line_num, line, places, support, zone) for line in lines if any(line)]
        except csv.Error as error:
            raise ServingError(f"{file}, line {lines.line_num}: {error}") from None


def score(rows: Sequence[Row], judge: Detector, zone: tzinfo = UTC) -> Scored:
    """Every row judged by what stands above it, nothing below, at its time on the clocks of `zone`.

    The clock never goes back: a row that is not later than one above it is judged at that one's time.
    """
    begun = time.perf_counter()
    verdicts, out_of_order = [], 0
    clock: datetime | None = None
    for row in rows:
        if clock is not None and row.timestamp <= clock:
            out_of_order += 1
        clock = row.timestamp if clock is None else max(clock, row.timestamp)
        verdicts.append(judge.observe(clock.astimezone(zone), row.value, row.support))
    return Scored(list(rows), verdicts, out_of_order, time.perf_counter() - begun)


def write_scored(scored: Scored, output: Path | None) -> None:
    """Writes one line for each row, timestamps and values as they came; to stdout without a file."""
    if output is None:
        _write(scored, sys.stdout)
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("w", encoding="utf-8", newline="") as text:
            _write(scored, text)
    except OSError as error:
        raise ServingError(
            f"{output} cannot be written ({error.strerror}); choose another --output"
        ) from None


def summary(scored: Scored, rule: str) -> str:
    """What was found, in a few lines for a person."""
    counts = Counter(verdict.severity for verdict in scored.verdicts)
    missing = sum(row.value is None for row in scored.rows)
    lines = [
        f"{rule}: {len(scored.rows)} rows in {scored.seconds:.1f} s; "
        f"{counts[Severity.CRITICAL]} critical, {counts[Severity.WARN]} warn, {missing} without a value."
    ]
    if scored.out_of_order:
        lines.append(
            f"{scored.out_of_order} rows are not later than a row above them; they were judged in the file's order."
        )
    ranked = sorted(
        zip(scored.rows, scored.verdicts, strict=True), key=lambda pair: pair[1].score, reverse=True
    )
    for row, verdict in ranked[:MOST_SURPRISING]:
        if verdict.score >= 0.5:
            expected = "" if verdict.baseline is None else f", expected {verdict.baseline:.6g}"
            lines.append(
                f"  {verdict.score:.3f}  line {row.line}, {row.timestamp_text}: {row.value_text}{expected}; "
                f"{verdict.reason}"
            )
    return "\n".join(lines)


def check_picture(picture: Path) -> None:
    """Refuses a picture of a kind that cannot be drawn, before any work is done.

    Raises:
        ServingError: it is neither .png nor .svg nor .html.
    """
    if picture.suffix.lower() not in (".png", ".svg", ".html"):
        raise ServingError(
            f"--plot {picture}: .png, .svg or .html is needed, not {picture.suffix or 'nothing'!r}"
        )


def draw(scored: Scored, picture: Path, title: str) -> None:
    """A picture of the series with its band, the alarms marked and the score below.

    Raises:
        ServingError: it cannot be written.
    """
    import altair as alt

    records = [
        {
            "time": row.timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "value": row.value,
            "baseline": verdict.baseline,
            "lower": verdict.lower,
            "upper": verdict.upper,
            "score": verdict.score,
            "severity": verdict.severity.value,
        }
        for row, verdict in zip(scored.rows, scored.verdicts, strict=True)
    ]
    alt.data_transformers.disable_max_rows()
    base = alt.Chart(alt.InlineData(values=records)).encode(x=alt.X("time:T", title=None))
    band = base.mark_area(opacity=0.2, color="#4c78a8", clip=True).encode(
        y=alt.Y("lower:Q", title="value"), y2="upper:Q"
    )
    lowest, highest = _limits([row.value for row in scored.rows if row.value is not None])
    line = base.mark_line(strokeWidth=1, color="#4c78a8").encode(
        y=alt.Y("value:Q", scale=alt.Scale(domain=[lowest, highest]))
    )
    marks = (
        base.mark_circle(size=50, clip=True)
        .encode(
            y="value:Q",
            color=alt.Color(
                "severity:N",
                scale=alt.Scale(domain=["warn", "critical"], range=["#f58518", "#e45756"]),
                legend=alt.Legend(title=None, orient="top"),
            ),
        )
        .transform_filter("datum.severity != 'none' && datum.score >= 0.5")
    )
    above = alt.layer(band, line, marks).properties(width=1100, height=320, title=title)
    below = base.mark_line(strokeWidth=1, color="#72b7b2").encode(
        y=alt.Y("score:Q", scale=alt.Scale(domain=[0, 1]))
    )
    chart = alt.vconcat(above, below.properties(width=1100, height=90))
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        chart.save(str(picture))
    except OSError as error:
        raise ServingError(f"{picture} cannot be written ({error.strerror}); choose another --plot") from None


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    csv.field_size_limit(LARGEST_FIELD)
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            yield text
    except OSError as error:
        raise ServingError(f"{file} cannot be read ({error.strerror}); give a CSV file") from None
    except UnicodeDecodeError as error:
        raise ServingError(f"{file} is not UTF-8 text (byte {error.start}); give a CSV file") from None


def _row(
    file: Path, number: int, line: list[str], places: tuple[int, int], support: int | None, zone: tzinfo
) -> Row:
    if len(line) <= max(places):
        raise ServingError(f"{file}, line {number}: {len(line)} columns, timestamp and value are needed")
    stamp, value = line[places[0]], line[places[1]]
    try:
        timestamp = _timestamp(stamp.strip(), zone)
    except (ValueError, OverflowError):
        raise ServingError(
            f"{file}, line {number}: {stamp!r} is no timestamp; write 2026-01-31T12:00:00Z or seconds since 1970"
        ) from None
    try:
        under = _number(line[support]) if support is not None and support < len(line) else None
        return Row(number, stamp, value, timestamp, _number(value), under)
    except ValueError:
        raise ServingError(
            f"{file}, line {number}: {value!r} is no number; leave the value blank where there is none"
        ) from None


def _timestamp(text: str, zone: tzinfo) -> datetime:
    try:
        seconds = float(text)
    except ValueError:
        timestamp = datetime.fromisoformat(text.replace("/", "-"))
        return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=zone)).astimezone(UTC)
    if abs(seconds) >= EPOCH_MILLISECONDS:
        seconds /= 1000.0
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _number(text: str) -> float | None:
    text = text.strip()
    return None if text.lower() in MISSING else _finite(float(text))


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _write(scored: Scored, text: TextIO) -> None:
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row, verdict in zip(scored.rows, scored.verdicts, strict=True):
        numbers = (verdict.baseline, verdict.lower, verdict.upper)
        lines.writerow(
            [
                row.timestamp_text,
                row.value_text,
                *("" if number is None else f"{number:.10g}" for number in numbers),
                f"{verdict.score:.6f}",
                verdict.severity.value,
            ]
        )


def _limits(values: Sequence[float]) -> tuple[float, float]:
    lowest, highest = min(values, default=0.0), max(values, default=1.0)
    margin = 0.05 * (highest - lowest) or 1.0
    return lowest - margin, highest + margin
