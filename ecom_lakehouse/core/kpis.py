"""The KPIs: what each is, and how a minute of Silver becomes its values, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import functions as sf

from ecom_lakehouse.core.contract import ADD_TO_CART, CHECKOUT, CLICK, EVENT_TYPES, PURCHASE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Metric:
    """One KPI: its name, what it is, what it is counted in, and how it adds up over time.

    `count` and `amount` are sums; a `ratio` of a longer time is the ratio of the sums, never a mean of ratios.
    """

    name: str
    formula: str
    unit: str
    kind: Literal["count", "amount", "ratio"]


METRICS = (
    Metric("events_total", "all events", "events", "count"),
    *(Metric(f"events_{name}", f"events of type {name}", "events", "count") for name in EVENT_TYPES),
    Metric("revenue", "Σ price × quantity of purchases", "currency", "amount"),
    Metric("aov", "revenue / events_purchase", "currency per purchase", "ratio"),
    Metric("add_to_cart_rate", "events_add_to_cart / events_click", "carts per click", "ratio"),
    Metric("checkout_rate", "events_checkout / events_add_to_cart", "checkouts per cart", "ratio"),
    Metric("purchase_conversion", "events_purchase / events_click", "purchases per click", "ratio"),
)
METRIC_NAMES = tuple(metric.name for metric in METRICS)
RATIOS = {
    "aov": ("revenue", f"events_{PURCHASE}"),
    "add_to_cart_rate": (f"events_{ADD_TO_CART}", f"events_{CLICK}"),
    "checkout_rate": (f"events_{CHECKOUT}", f"events_{ADD_TO_CART}"),
    "purchase_conversion": (f"events_{PURCHASE}", f"events_{CLICK}"),
}
"""Each ratio's numerator and denominator."""
SUMS = tuple(metric.name for metric in METRICS if metric.kind != "ratio")

RATIO_PLACES = Decimal("0.000001")
# Wide enough that a division is rounded once only, by `quantize`: 38 digits of revenue and 6 places more,
# with room to tell a half from what lies just beside it.
_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)


def counts_by_minute(silver: DataFrame) -> DataFrame:
    """Silver's events summed by the minute of event_time.

    Gives `minute` TIMESTAMP, the five `events_…` BIGINT, `revenue` DECIMAL(38,4): one row a minute that has
    events.
    """
    amount = sf.col("price") * sf.col("quantity")
    counts = {f"events_{name}": sf.count_if(sf.col("event_type") == name) for name in EVENT_TYPES}
    revenue = sf.sum(sf.when(sf.col("event_type") == PURCHASE, amount))
    return silver.groupBy(sf.date_trunc("minute", "event_time").alias("minute")).agg(
        sf.count("*").alias("events_total"),
        *(count.alias(name) for name, count in counts.items()),
        sf.coalesce(revenue, sf.lit(0)).cast("decimal(38,4)").alias("revenue"),
    )


def kpi_values(counts: Mapping[str, Any]) -> dict[str, Decimal]:
    """All ten KPIs of one time, from its sums: exact, ratios and aov rounded half up to 6 places.

    A ratio whose denominator is 0 is 0. The sums may be those of a minute or of any longer time.
    """
    values = {name: Decimal(counts[name]) for name in SUMS}
    for name, (numerator, denominator) in RATIOS.items():
        values[name] = _ratio(values[numerator], values[denominator])
    return {name: values[name] for name in METRIC_NAMES}


def _ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    if not denominator:
        return Decimal(0).quantize(RATIO_PLACES)
    return _EXACT.divide(numerator, denominator).quantize(RATIO_PLACES, context=_EXACT)
