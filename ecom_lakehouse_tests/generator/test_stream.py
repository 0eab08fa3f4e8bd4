"""What the generator makes, judged without Kafka."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from datetime import datetime

import pytest

from ecom_lakehouse.core import contract
from ecom_lakehouse.generator import shop
from ecom_lakehouse.generator.stream import EventStream, Message, timestamp
from ecom_lakehouse.generator.tally import Fault
from ecom_lakehouse.settings import GeneratorSettings

NOW = 1_800_000_000_123  # 2027-01-15T08:00:00.123Z
FIELDS = [field.name for field in contract.FIELDS]


def stream(**given: float) -> EventStream:
    return EventStream(GeneratorSettings(**given))  # type: ignore[arg-type]


def many(count: int, now: int = NOW, **given: float) -> tuple[EventStream, list[Message]]:
    made = stream(**given)
    return made, [made.message(now) for _ in range(count)]


def events(messages: list[Message]) -> list[dict[str, object]]:
    return [json.loads(message.value, parse_float=str) for message in messages]


IDS = ("event_id", "session_id")


def test_every_event_has_every_field_of_the_contract_in_its_order_and_its_user_as_key() -> None:
    _, messages = many(2000)
    for message, event in zip(messages, events(messages), strict=True):
        assert list(event) == FIELDS
        assert message.key.decode() == event["user_id"]


def test_a_valid_event_fills_what_its_type_needs_and_nothing_else() -> None:
    _, messages = many(3000, dup_rate=0, late_rate=0, invalid_rate=0)
    for event in events(messages):
        product, money, order = event["product_id"], event["price"], event["order_id"]
        assert (product is None) == (event["event_type"] == "checkout")
        assert (money is None) == (event["event_type"] in ("click", "checkout"))
        assert (event["quantity"] is None) == (event["currency"] is None) == (money is None)
        assert (order is None) == (event["event_type"] != "purchase")
        assert event["event_time"] == event["ingest_time"] == "2027-01-15T08:00:00.123Z"
        assert uuid.UUID(str(event["event_id"])).version == uuid.UUID(str(event["session_id"])).version == 7
        if money is not None:
            assert re.fullmatch(r"\d+\.\d\d", str(money))
            assert event["currency"] == "EUR"
            assert type(event["quantity"]) is int
            assert event["quantity"] >= 1
        if order is not None:
            assert re.fullmatch(r"ord_[0-9a-f]{10}", str(order))


def test_types_come_by_their_weights_from_two_hundred_users_and_five_hundred_products() -> None:
    _, messages = many(40_000, dup_rate=0, invalid_rate=0)
    made = events(messages)
    shares = {name: count / len(made) for name, count in Counter(e["event_type"] for e in made).items()}
    assert shares == pytest.approx(
        {"click": 0.72, "add_to_cart": 0.18, "checkout": 0.07, "purchase": 0.03}, abs=0.01
    )
    assert {e["user_id"] for e in made} == set(shop.USERS)
    assert len(shop.USERS) == 200
    assert {e["product_id"] for e in made} - {None} == set(shop.PRODUCTS)
    assert len(shop.PRODUCTS) == 500


def test_a_product_costs_the_same_in_every_event_and_with_every_seed() -> None:
    prices: dict[object, set[object]] = {}
    for seed in (1, 2):
        for event in events(many(5000, invalid_rate=0, seed=seed)[1]):
            if event["price"] is not None:
                prices.setdefault(event["product_id"], set()).add(event["price"])
    assert all(len(seen) == 1 for seen in prices.values())


def test_the_same_seed_makes_the_same_events_but_for_their_times_and_ids() -> None:
    def timeless(now: int, seed: int) -> list[dict[str, object]]:
        return [
            {name: value for name, value in event.items() if not name.endswith("_time") and name not in IDS}
            for event in events(many(3000, now=now, seed=seed)[1])
        ]

    assert timeless(NOW, 7) == timeless(NOW + 86_400_000, 7)
    assert timeless(NOW, 7) != timeless(NOW, 8)


def test_a_generator_started_again_with_its_seed_sends_new_events() -> None:
    first, again = ({each["event_id"] for each in events(many(3000, now=now)[1])} for now in (NOW, NOW + 5))
    assert not first & again


def test_rates_are_kept_and_the_tally_is_the_truth() -> None:
    made, messages = many(20_000, dup_rate=0.1, late_rate=0.2, invalid_rate=0.3)
    tally = made.tally
    assert tally.sent == len(messages)
    assert tally.duplicates / tally.sent == pytest.approx(0.1, abs=0.01)
    fresh = tally.sent - tally.duplicates
    assert sum(tally.invalid.values()) / fresh == pytest.approx(0.3, abs=0.015)
    assert tally.late / fresh == pytest.approx(0.2, abs=0.015)
    assert all(count > 0 for count in tally.invalid.values())
    assert tally.valid + sum(tally.invalid.values()) == len({e["event_id"] for e in events(messages)})


def test_a_resend_is_the_same_bytes_at_once_or_much_later() -> None:
    made, messages = many(5000, dup_rate=0.2, invalid_rate=0)
    seen: dict[bytes, int] = {}
    gaps = []
    for place, message in enumerate(messages):
        if message.value in seen:
            gaps.append(place - seen[message.value])
        else:
            seen[message.value] = place
    assert len(gaps) == made.tally.duplicates
    assert min(gaps) == 1
    assert max(gaps) > 400


def test_late_events_lie_back_by_no_more_than_the_limit_and_were_sent_now() -> None:
    _, messages = many(3000, late_rate=1, late_max_seconds=600, dup_rate=0, invalid_rate=0)
    delays = []
    for event in events(messages):
        assert event["ingest_time"] == timestamp(NOW)
        happened = datetime.fromisoformat(str(event["event_time"]))
        delays.append(NOW / 1000 - happened.timestamp())
    assert 0 < min(delays) < 10
    assert 590 < max(delays) <= 600


@pytest.mark.parametrize("fault", Fault)
def test_each_fault_breaks_the_event_as_its_name_says(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecom_lakehouse.generator.stream.FAULTS", (fault,))
    made, messages = many(500, invalid_rate=1)
    assert made.tally.invalid[fault] == 500  # a broken event is never re-sent
    for message in messages:
        event = json.loads(message.value)
        broken = {
            Fault.WRONG_TYPE: isinstance(event["quantity"], str) or event["event_version"] == "1",
            Fault.MISSING_PRODUCT: event["product_id"] is None and event["event_type"] != "checkout",
            Fault.NEGATIVE_QUANTITY: str(event["quantity"]).startswith("-"),
            Fault.NEGATIVE_PRICE: str(event["price"]).startswith("-"),
        }
        assert [name for name, is_so in broken.items() if is_so] == [fault]


def test_everything_broken_is_possible() -> None:
    made, _ = many(1000, invalid_rate=1)
    assert made.tally.valid == made.tally.duplicates == 0


def test_a_scenario_decides_type_and_time() -> None:
    made = stream(dup_rate=0, late_rate=0, invalid_rate=0)
    (event,) = events([made.message(NOW, event_ms=0, event_type="purchase")])
    assert (event["event_type"], event["event_time"]) == ("purchase", "1970-01-01T00:00:00.000Z")
    assert event["ingest_time"] == timestamp(NOW)
