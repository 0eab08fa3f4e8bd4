"""The catalogue of rules: what each means, when it breaks, how much of it is tolerated, what to do.

The split of Silver and Quarantine, the asset checks, the API, the dashboard and `docs/dq_rules.md` all come from
`RULES`. Their order is the order in which a message's codes are listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ecom_lakehouse.core.contract import (
    ADD_TO_CART,
    CLICK,
    CURRENCY_PATTERN,
    EVENT_TYPES,
    EVENT_VERSION,
    PURCHASE,
)

if TYPE_CHECKING:
    from ecom_lakehouse.core.evidence import Answers, Evidence

Verdict = Literal["pass", "warn", "error"]
Severity = Literal["warn", "error"]


@dataclass(frozen=True)
class Tolerance:
    """How much of an hour may break a rule before its check warns, and before it fails.

    `warn_above` and `error_above` are shares of the hour's messages; fewer than `min_count` broken messages
    alarm nobody, however few messages the hour had.
    """

    warn_above: float = 0.01
    error_above: float = 0.05
    min_count: int = 10

    def __post_init__(self) -> None:
        """Refuses what no check could follow."""
        for name in ("warn_above", "error_above"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"{name}={share!r}: allowed is a share from 0 to 1")
        if self.warn_above > self.error_above:
            raise ValueError(
                f"warn_above={self.warn_above} is more than error_above={self.error_above}: it must warn first"
            )
        if isinstance(self.min_count, bool) or not isinstance(self.min_count, int) or self.min_count < 1:
            raise ValueError(f"min_count={self.min_count!r}: allowed is a whole number from 1")


@dataclass(frozen=True)
class Rule:
    """One rule: its code, when a message breaks it, and all that people are told about it.

    `severity` is the worst that its check may say. A rule that stands alone is the only one that its messages
    break: nothing else can be said of them.
    """

    code: str
    meaning: str
    action: str
    broken: Callable[[Evidence], Answers]
    tolerance: Tolerance = Tolerance()
    severity: Severity = "error"
    layer: str = "silver"
    stands_alone: bool = False

    @property
    def runbook(self) -> str:
        """Where the runbook tells what to do, as a link from the project's root."""
        return f"docs/runbook.md#{self.code}"

    def verdict(self, broken: int, messages: int) -> Verdict:
        """What the rule's check says of an hour with so many broken among so many messages."""
        if not messages or broken < self.tolerance.min_count:
            return "pass"
        share = broken / messages
        if share > self.tolerance.error_above:
            return self.severity
        return "warn" if share > self.tolerance.warn_above else "pass"


def _lacks_quantity_price_currency(event: Evidence) -> Answers:
    return (
        event.missing("quantity")
        | event.below("quantity", 1)
        | event.missing("price")
        | event.below("price", 0)
        | event.missing("currency")
        | event.unlike("currency", CURRENCY_PATTERN)
    )


RULES = (
    Rule(
        code="empty_message",
        meaning="The message has no value (a tombstone), zero bytes, or only white space.",
        action="Ask the producer why it sends them; nothing can be repaired, nothing was in them.",
        broken=lambda event: event.empty,
        severity="warn",
        stands_alone=True,
    ),
    Rule(
        code="malformed_json",
        meaning="The value is not valid UTF-8, not valid JSON, or not a JSON object.",
        action="Show raw messages to the producer's team: its serializer or its connection cuts or garbles them.",
        broken=lambda event: event.malformed,
        stands_alone=True,
    ),
    Rule(
        code="missing_event_id",
        meaning="`event_id` is missing, not a string, or empty: the event can't be told from a repeated one.",
        action="Have the producer set an id per event and send them again.",
        broken=lambda event: event.missing("event_id"),
    ),
    Rule(
        code="unsupported_event_version",
        meaning=f"`event_version` is not the integer {EVENT_VERSION}.",
        action="See whether a producer was upgraded first, or writes the number as text; then replay the hour.",
        broken=lambda event: event.missing("event_version") | event.differs("event_version", EVENT_VERSION),
        tolerance=Tolerance(warn_above=0.02),
    ),
    Rule(
        code="invalid_event_type",
        meaning=f"`event_type` is missing or not one of {', '.join(EVENT_TYPES)}.",
        action="Look which types came: a new one needs a change of the contract, a wrong one of the producer.",
        broken=lambda event: ~event.is_one_of("event_type", *EVENT_TYPES),
    ),
    Rule(
        code="missing_user_id",
        meaning="`user_id` is missing, not a string, or empty.",
        action="Have the producer set it and send the events again; the message's key may tell who it was.",
        broken=lambda event: event.missing("user_id"),
    ),
    Rule(
        code="missing_session_id",
        meaning="`session_id` is missing, not a string, or empty.",
        action="Have the producer set it and send the events again.",
        broken=lambda event: event.missing("session_id"),
    ),
    Rule(
        code="bad_ingest_time",
        meaning="`ingest_time` is missing or not a timestamp with an offset.",
        action="Have the producer write it in the contract's form, then replay or send again.",
        broken=lambda event: event.missing("ingest_time"),
    ),
    Rule(
        code="bad_event_time",
        meaning="`event_time` is missing or not a timestamp with an offset.",
        action="Have the producer write it in the contract's form, then send again.",
        broken=lambda event: event.missing("event_time"),
    ),
    Rule(
        code="event_time_in_future",
        meaning="`event_time` is further after the broker's timestamp than the limit (5 minutes; a setting).",
        action="Check the clocks of the producers that sent them, then have them send again.",
        broken=lambda event: event.ahead_of_broker(),
    ),
    Rule(
        code="event_time_too_old",
        meaning="`event_time` is further before the broker's timestamp than the limit (365 days; a setting): "
        "a clock that was never set.",
        action="Check the producers' clocks; for a backfill of old events raise LAKEHOUSE_AGE_LIMIT_DAYS first.",
        broken=lambda event: event.behind_broker(),
        severity="warn",
    ),
    Rule(
        code="product_id_required_for_click_or_cart",
        meaning="A click or add_to_cart without `product_id`.",
        action="See which source sends them; have it fixed, then repair and replay them.",
        broken=lambda event: event.is_one_of("event_type", CLICK, ADD_TO_CART) & event.missing("product_id"),
        tolerance=Tolerance(warn_above=0.03),
    ),
    Rule(
        code="add_to_cart_requires_qty_price_currency",
        meaning="An add_to_cart without a valid `quantity` ≥ 1, `price` ≥ 0 and `currency`.",
        action="See in the raw messages which of the three is wrong; have it fixed, then repair and replay.",
        broken=lambda event: (
            event.is_one_of("event_type", ADD_TO_CART) & _lacks_quantity_price_currency(event)
        ),
        tolerance=Tolerance(warn_above=0.05, error_above=0.1),
    ),
    Rule(
        code="purchase_requires_product_id",
        meaning="A purchase without `product_id`.",
        action="Revenue is missing until they are repaired: find the source, repair and replay them today.",
        broken=lambda event: event.is_one_of("event_type", PURCHASE) & event.missing("product_id"),
        tolerance=Tolerance(warn_above=0.001, error_above=0.002),
    ),
    Rule(
        code="purchase_requires_order_qty_price_currency",
        meaning="A purchase without `order_id`, or without a valid `quantity` ≥ 1, `price` ≥ 0 and `currency`.",
        action="Revenue is missing until they are repaired: find the source, repair and replay them today.",
        broken=lambda event: (
            event.is_one_of("event_type", PURCHASE)
            & (event.missing("order_id") | _lacks_quantity_price_currency(event))
        ),
        tolerance=Tolerance(warn_above=0.01, error_above=0.02),
    ),
)
CODES = tuple(rule.code for rule in RULES)


def with_tolerances(overrides: Mapping[str, Mapping[str, Any]]) -> tuple[Rule, ...]:
    """The catalogue with some tolerances replaced, such as `{"malformed_json": {"warn_above": 0.02}}`.

    Raises:
        ValueError: an unknown code or name, or a value that isn't allowed; says which, and what is.
    """
    for code in overrides:
        if code not in CODES:
            raise ValueError(f"{code!r} is no rule: the codes are {', '.join(CODES)}")
    return tuple(
        replace(rule, tolerance=_overridden(rule, overrides[rule.code])) if rule.code in overrides else rule
        for rule in RULES
    )


def _overridden(rule: Rule, override: Mapping[str, Any]) -> Tolerance:
    names = tuple(Tolerance.__dataclass_fields__)
    for name in override:
        if name not in names:
            raise ValueError(f"{rule.code}: {name!r} is unknown, allowed are {', '.join(names)}")
    try:
        return replace(rule.tolerance, **override)
    except ValueError as error:
        raise ValueError(f"{rule.code}: {error}") from None
