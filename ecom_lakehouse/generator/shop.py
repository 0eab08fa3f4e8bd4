"""The made-up shop: its people, its products and what these cost."""

from __future__ import annotations

import random
from decimal import Decimal

USERS = tuple(f"user_{number:04}" for number in range(1, 201))
PRODUCTS = tuple(f"sku_{number:05}" for number in range(1, 501))
CURRENCY = "EUR"
SOURCE = "lakehouse-generator"


def price_of(product: str) -> Decimal:
    """The unit price of a product in EUR, with 2 places: the same in every run, whatever the seed.

    Prices are log-normal around 25 EUR, as in a shop with many small and few dear things.
    """
    dice = random.Random(f"price of {product}")
    euros = min(max(dice.lognormvariate(3.2, 0.8), 1.99), 999.99)
    return Decimal(f"{euros:.2f}")


PRICES = tuple(price_of(product) for product in PRODUCTS)
