"""The stream of messages: events by the contract, with late, repeated and broken ones among them.

Everything is drawn from one seed; only the times, and the ids that begin with them, come from the clock that
the caller passes in. So the same seed gives the same messages in the same order, but for those.
"""

from __future__ import annotations

import random
import time
from collections import deque
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from ecom_lakehouse.core.scenarios import TYPE_SHARES
from ecom_lakehouse.generator import shop
from ecom_lakehouse.generator.tally import Fault, Tally
from ecom_lakehouse.settings import GeneratorSettings

FAULTS = tuple(Fault)
TYPES = tuple(TYPE_SHARES)
# The event types that a fault can break: a checkout names no product, a click has no price.
BREAKABLE = {
    Fault.WRONG_TYPE: TYPES,
    Fault.MISSING_PRODUCT: ("click", "add_to_cart", "purchase"),
    Fault.NEGATIVE_QUANTITY: ("add_to_cart", "purchase"),
    Fault.NEGATIVE_PRICE: ("add_to_cart", "purchase"),
}
NEW_SESSION_SHARE = 0.05  # one event in twenty opens a session: about twenty events a visit
QUANTITIES = (1, 1, 1, 1, 2, 2, 3)
RESEND_REACH = 1000  # how many messages back a re-send may reach: 50 s at 20 a second


class Event(msgspec.Struct, gc=False):
    """One event, its fields in the contract's order. A broken event may hold anything in any of them."""

    event_id: Any
    event_version: Any
    event_type: Any
    event_time: Any
    ingest_time: Any
    user_id: Any
    session_id: Any
    product_id: Any
    quantity: Any
    price: Any
    currency: Any
    order_id: Any
    source: Any


class Message(NamedTuple):
    """What Kafka gets."""

    key: bytes
    value: bytes


class EventStream:
    """Messages one by one, and `tally`, which counts what they are."""

    def __init__(self, settings: GeneratorSettings) -> None:
        self.tally = Tally()
        self._settings = settings
        self._dice = random.Random(settings.seed)
        self._sessions: dict[str, str] = {}
        self._resendable: deque[Message] = deque(maxlen=RESEND_REACH)
        self._encode = msgspec.json.Encoder(decimal_format="number").encode

    def message(self, now_ms: int, event_ms: int | None = None, event_type: str | None = None) -> Message:
        """The next message of the stream.

        Args:
            now_ms: the producer's clock, milliseconds since 1970: the `ingest_time`.
            event_ms: when the event happened if not late; `now_ms` if None.
            event_type: the type to make; drawn by the contract's weights if None.
        """
        settings, chance, tally = self._settings, self._dice.random, self.tally
        if self._resendable and chance() < settings.dup_rate:
            tally.duplicates += 1
            return self._resent()
        event_ms = now_ms if event_ms is None else event_ms
        if chance() < settings.late_rate:
            tally.late += 1
            event_ms -= 1 + int(chance() * settings.late_max_seconds * 1000)
        if chance() < settings.invalid_rate:
            fault = FAULTS[int(chance() * len(FAULTS))]
            tally.invalid[fault] += 1
            broken = self._broken(fault, self._event(_drawn(BREAKABLE[fault], chance()), now_ms, event_ms))
            return Message(broken.user_id.encode(), self._encode(broken))
        tally.valid += 1
        event = self._event(event_type or _drawn(TYPES, chance()), now_ms, event_ms)
        message = Message(event.user_id.encode(), self._encode(event))
        self._resendable.append(message)
        return message

    def _resent(self) -> Message:
        """An earlier valid message, byte for byte: often the last one, at times one of a minute ago."""
        back = int(len(self._resendable) ** self._dice.random())
        return self._resendable[-back]

    def _event(self, event_type: str, now_ms: int, event_ms: int) -> Event:
        chance = self._dice.random
        user = shop.USERS[int(chance() * len(shop.USERS))]
        event = Event(
            event_id=self._uuid(now_ms),
            event_version=1,
            event_type=event_type,
            event_time=timestamp(event_ms),
            ingest_time=timestamp(now_ms),
            user_id=user,
            session_id=self._session(user, now_ms),
            product_id=None,
            quantity=None,
            price=None,
            currency=None,
            order_id=None,
            source=shop.SOURCE,
        )
        if event_type == "checkout":
            return event
        # Squared, so that few products sell much and many sell little.
        product = int(chance() ** 2 * len(shop.PRODUCTS))
        event.product_id = shop.PRODUCTS[product]
        if event_type != "click":
            event.quantity = QUANTITIES[int(chance() * len(QUANTITIES))]
            event.price = shop.PRICES[product]
            event.currency = shop.CURRENCY
        if event_type == "purchase":
            event.order_id = f"ord_{self._dice.getrandbits(40):010x}"
        return event

    def _broken(self, fault: Fault, event: Event) -> Event:
        if fault is Fault.MISSING_PRODUCT:
            event.product_id = None
        elif fault is Fault.NEGATIVE_QUANTITY:
            event.quantity = -event.quantity
        elif fault is Fault.NEGATIVE_PRICE:
            event.price = -event.price
        elif isinstance(event.price, Decimal):
            event.quantity = str(event.quantity)
        else:
            event.event_version = str(event.event_version)
        return event

    def _session(self, user: str, now_ms: int) -> str:
        session = self._sessions.get(user)
        if session is None or self._dice.random() < NEW_SESSION_SHARE:
            session = self._sessions[user] = self._uuid(now_ms)
        return session

    def _uuid(self, now_ms: int) -> str:
        """A UUID of version 7: the clock's milliseconds, then bits from the seed.

        The clock is in it so that a generator started again with its seed sends new events, not re-sends of the
        old ones. `uuid.UUID` would take five times as long.
        """
        bits = self._dice.getrandbits(78)
        clock, random_digits = f"{now_ms:012x}", f"{bits:020x}"
        variant = "89ab"[bits & 3]
        return f"{clock[:8]}-{clock[8:]}-7{random_digits[1:4]}-{variant}{random_digits[4:7]}-{random_digits[7:19]}"


def timestamp(at_ms: int) -> str:
    """Milliseconds since 1970 in the contract's form, such as `2026-01-31T12:00:00.123Z`."""
    minute, rest_ms = divmod(at_ms, 60_000)
    second, rest_ms = divmod(rest_ms, 1000)
    return f"{_minute(minute)}:{second:02}.{rest_ms:03}Z"


@lru_cache(maxsize=4096)
def _minute(minute: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(minute * 60))


@lru_cache
def _thresholds(types: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    total = sum(TYPE_SHARES[name] for name in types)
    edges = accumulate(TYPE_SHARES[name] / total for name in types)
    return tuple(zip(types, edges, strict=True))


def _drawn(types: tuple[str, ...], chance: float) -> str:
    """One of the types by the contract's weights, for a chance in 0–1."""
    for name, edge in _thresholds(types):
        if chance < edge:
            return name
    return types[-1]
