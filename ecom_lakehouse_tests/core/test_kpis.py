"""KPIs are exact, whatever the engine makes of decimals."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from ecom_lakehouse.core.kpis import METRIC_NAMES, SUMS, counts_by_minute, kpi_values
from ecom_lakehouse.core.parse import ARROW_TYPES, TIMESTAMP_TYPE

MINUTE = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
MAX_PRICE = Decimal("99999999999999.9999")
WIDE = Context(prec=60)
SILVER = pa.schema(
    {
        "event_time": TIMESTAMP_TYPE,
        "event_type": pa.string(),
        "price": ARROW_TYPES["decimal(18,4)"],
        "quantity": ARROW_TYPES["int"],
    }
)


def counted(spark: SparkSession, table: pa.Table) -> list[dict[str, Any]]:
    counts = counts_by_minute(spark.createDataFrame(table)).toArrow()
    found: list[dict[str, Any]] = counts.sort_by("minute").to_pylist()
    return found


def events(*found: tuple[str, str, str | None, int | None]) -> pa.Table:
    times, types, prices, quantities = zip(*found, strict=True)
    columns = {
        "event_time": [datetime.fromisoformat(time) for time in times],
        "event_type": types,
        "price": [price and Decimal(price) for price in prices],
        "quantity": quantities,
    }
    return pa.table(columns, SILVER)


def sums(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(SUMS, 0) | values


@pytest.mark.spark
def test_a_minutes_events_are_summed_by_event_time(spark: SparkSession) -> None:
    found = counted(
        spark,
        events(
            ("2026-11-22T12:01:00Z", "click", None, None),
            ("2026-11-22T12:01:59.999999Z", "purchase", "19.9900", 3),
            ("2026-11-22T12:01:30Z", "add_to_cart", "5", 7),
            ("2026-11-22T12:02:00Z", "checkout", "1", 1),
        ),
    )
    assert [row["minute"].replace(tzinfo=UTC) for row in found] == [MINUTE, MINUTE.replace(minute=2)]
    first, second = ({name: row[name] for name in SUMS} for row in found)
    assert first == sums(
        events_total=3, events_click=1, events_add_to_cart=1, events_purchase=1, revenue=Decimal("59.9700")
    )
    assert second == sums(events_total=1, events_checkout=1, revenue=Decimal(0))


@pytest.mark.spark
def test_a_million_purchases_at_the_highest_price_are_summed_to_the_cent(spark: SparkSession) -> None:
    count = 1_000_000
    silver = spark.range(count).select(
        sf.lit(MINUTE).alias("event_time"),
        sf.lit("purchase").alias("event_type"),
        sf.lit(MAX_PRICE).cast("decimal(18,4)").alias("price"),
        sf.lit(2**31 - 1).cast("int").alias("quantity"),
    )
    found = counts_by_minute(silver).toArrow().to_pylist()
    # in whole ten-thousandths, as integers know them
    exact = 999_999_999_999_999_999 * (2**31 - 1) * count
    assert [row["revenue"] for row in found] == [Decimal(exact).scaleb(-4, WIDE)]


def test_all_ten_are_there_in_order() -> None:
    assert tuple(kpi_values(sums())) == METRIC_NAMES
    assert len(METRIC_NAMES) == 10


def test_a_ratio_over_nothing_is_zero() -> None:
    values = kpi_values(sums(events_total=5, events_purchase=0, revenue=Decimal(0), events_checkout=3))
    assert {values[name] for name in ("aov", "add_to_cart_rate", "checkout_rate", "purchase_conversion")} == {
        0
    }


@pytest.mark.parametrize(
    ("carts", "clicks", "rate"),
    [
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 2_000_000, "0.000001"),
        (1, 2_000_001, "0.000000"),
        (3, 2, "1.500000"),
    ],
)
def test_ratios_are_rounded_half_up_to_six_places(carts: int, clicks: int, rate: str) -> None:
    values = kpi_values(sums(events_add_to_cart=carts, events_click=clicks))
    assert str(values["add_to_cart_rate"]) == rate


@given(amount=st.integers(0, 10**34), purchases=st.integers(1, 2**40), clicks=st.integers(1, 2**40))
def test_aov_is_exact_at_any_size(amount: int, purchases: int, clicks: int) -> None:
    values = kpi_values(
        sums(revenue=Decimal(amount).scaleb(-4, WIDE), events_purchase=purchases, events_click=clicks)
    )
    # half up in integers: floor(x * 10^6 + 1/2)
    millionths = (2 * amount * 100 + purchases) // (2 * purchases)
    assert int(values["aov"].scaleb(6, WIDE)) == millionths
    assert int(values["purchase_conversion"].scaleb(6)) == (2 * purchases * 10**6 + clicks) // (2 * clicks)
