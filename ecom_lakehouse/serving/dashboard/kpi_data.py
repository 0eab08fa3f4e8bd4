"""The API's answers on KPIs, made into what tiles and charts need. Nothing here asks or draws."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ecom_lakehouse.core.kpis import SUMS, kpi_values
from ecom_lakehouse.serving.dashboard.words import parsed

COMPARABLE_SHARE = 0.8
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A metric in one window of time; no value where no event fell into it."""

    at: datetime
    value: float | None
    provisional: bool


@dataclass(frozen=True)
class Expected:
    """What the detector expected of a minute."""

    at: datetime
    baseline: float
    lower: float
    upper: float


def points(rows: Iterable[Row], metric: str) -> list[Point]:
    """One metric of an answer, in order of time."""
    return [
        Point(datetime.fromisoformat(row["window_start"]), row["value"], row["provisional"])
        for row in rows
        if row["metric"] == metric
    ]


def expectations(rows: Iterable[Row]) -> list[Expected]:
    """The bands of an answer, less the minutes that have none."""
    return [
        Expected(
            datetime.fromisoformat(row["window_start"]),
            float(row["baseline"]),
            float(row["lower"]),
            float(row["upper"]),
        )
        for row in rows
        if row["lower"] is not None and row["upper"] is not None
    ]


def closed_until(rows: Sequence[Row], step_length: timedelta) -> datetime | None:
    """The end of the last window that is closed; None if none is."""
    closed = [row["window_start"] for row in rows if not row["provisional"]]
    return datetime.fromisoformat(max(closed)) + step_length if closed else None


def totals(rows: Iterable[Row], until: datetime) -> dict[str, float]:
    """Every KPI over the windows that start before `until`: counts added up, ratios of those sums.

    Empty if none of them has data.
    """
    sums: dict[str, Decimal] = defaultdict(Decimal)
    found = False
    for row in rows:
        if row["has_data"] and row["metric"] in SUMS and datetime.fromisoformat(row["window_start"]) < until:
            sums[row["metric"]] += Decimal(str(row["value"]))
            found = True
    if not found:
        return {}
    counts = {name: sums[name] for name in SUMS}
    return {name: float(value) for name, value in kpi_values(counts).items()}


def covers(earlier: Iterable[Row], rows: Iterable[Row]) -> bool:
    """Whether a range has data in about as many windows as another, so that their totals compare."""
    found, wanted = (
        sum(1 for row in given if row["has_data"] and row["metric"] in SUMS) for given in (earlier, rows)
    )
    return found >= COMPARABLE_SHARE * wanted


def has_data(rows: Iterable[Row]) -> bool:
    """Whether any window of the answer holds an event."""
    return any(row["has_data"] for row in rows)


def axis_top(needed: float, before: float | None) -> float:
    """The top of a value axis: a round number above what is needed, kept from before while it fits.

    So an axis moves only when a value leaves it, or when it has become more than twice too high.
    """
    if before is not None and needed <= before <= needed * 2.5:
        return before
    if needed <= 0:
        return 1.0
    room = needed * 1.08
    scale = 10.0 ** math.floor(math.log10(room))
    return next(nice * scale for nice in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if nice * scale >= room)


def needed_top(values: Sequence[Point], bands: Sequence[Expected]) -> float:
    """How high a chart must reach: all values, and the band as far as it doesn't dwarf them."""
    highest = max((point.value for point in values if point.value is not None), default=0.0)
    upper = max((band.upper for band in bands), default=0.0)
    return max(highest, min(upper, 2 * highest) if highest > 0 else upper)


def alert_times(alert: Row) -> tuple[datetime, datetime]:
    """When an incident began, and the end of its latest minute."""
    start, last = parsed(alert["window_start"]), parsed(alert["last_window"])
    assert start is not None
    assert last is not None
    return start, last + timedelta(minutes=1)
