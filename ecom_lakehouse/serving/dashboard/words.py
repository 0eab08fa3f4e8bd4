"""Numbers, times and names as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

NO_DATA = "–"


class Form(StrEnum):
    """How a metric's values are written."""

    COUNT = "count"
    MONEY = "money"
    SHARE = "share"


@dataclass(frozen=True)
class MetricWords:
    """What people call a metric, and how its values are written."""

    title: str
    form: Form
    rising_is_good: bool | None = True


METRIC_WORDS = {
    "events_total": MetricWords("Events", Form.COUNT),
    "events_click": MetricWords("Clicks", Form.COUNT),
    "events_add_to_cart": MetricWords("Carts", Form.COUNT),
    "events_checkout": MetricWords("Checkouts", Form.COUNT),
    "events_purchase": MetricWords("Purchases", Form.COUNT),
    "revenue": MetricWords("Revenue", Form.MONEY),
    "aov": MetricWords("Average order value", Form.MONEY),
    "add_to_cart_rate": MetricWords("Cart rate", Form.SHARE),
    "checkout_rate": MetricWords("Checkout rate", Form.SHARE),
    "purchase_conversion": MetricWords("Conversion", Form.SHARE),
}


def metric_words(metric: str) -> MetricWords:
    """The words for a metric; for one that is not known, its name made readable."""
    return METRIC_WORDS.get(metric) or MetricWords(metric.replace("_", " ").capitalize(), Form.COUNT)


def number(value: float | None, form: Form) -> str:
    """A value with as many digits as help: `1,234`, `12.3k`, `€1,234.50`, `18.2 %`."""
    if value is None:
        return NO_DATA
    if form is Form.SHARE:
        return f"{value * 100:,.1f} %"
    sign, size = ("-" if value < 0 else ""), abs(value)
    money = "€" if form is Form.MONEY else ""
    if size >= 1_000_000:
        return f"{sign}{money}{size / 1_000_000:,.{1 if size >= 10_000_000 else 2}f}M"
    if size >= 100_000:
        return f"{sign}{money}{size / 1_000:,.0f}k"
    if form is Form.MONEY:
        return f"{sign}{money}{size:,.2f}" if size < 1000 else f"{sign}{money}{size:,.0f}"
    return f"{sign}{size:,.0f}" if size == int(size) or size >= 100 else f"{sign}{size:,.1f}"


def change(now: float | None, before: float | None) -> str | None:
    """The change from before to now, such as `+12.5 %`; None where there is nothing to compare with."""
    if now is None or before is None or before == 0:
        return None
    percent = (now - before) / abs(before) * 100
    return f"{percent:+,.0f} %" if abs(percent) >= 100 else f"{percent:+,.1f} %"


def duration(length: timedelta) -> str:
    """A length of time in its two largest units: `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`."""
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return f"{seconds // 60} min {seconds % 60} s" if seconds % 60 else f"{seconds // 60} min"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        hours, minutes = seconds // 3600, seconds % 3600 // 60
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = seconds // 86_400, seconds % 86_400 // 3600
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(at: datetime | None, zone: tzinfo, now: datetime | None = None) -> str:
    """A time in a zone: the clock alone where it is today's, with the date otherwise."""
    if at is None:
        return NO_DATA
    local = at.astimezone(zone)
    if now is not None and local.date() == now.astimezone(zone).date():
        return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local:%d %b %H:%M}"


def parsed(text: str | None) -> datetime | None:
    """A time of the API as a datetime in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def size(count: int | None) -> str:
    """Bytes: `812 B`, `80 kB`, `1.2 MB`."""
    if count is None:
        return NO_DATA
    for unit, limit in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= limit:
            return f"{count / limit:,.1f} {unit}" if count < 10 * limit else f"{count / limit:,.0f} {unit}"
    return f"{count} B"
