"""What was made: the truth that a run of the generator can be checked against."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """How an event is made to break the contract."""

    WRONG_TYPE = "wrong_type"
    MISSING_PRODUCT = "missing_product"
    NEGATIVE_QUANTITY = "negative_quantity"
    NEGATIVE_PRICE = "negative_price"


@dataclass
class Tally:
    """Counts of messages made so far; `sent` = `valid` + `duplicates` + all of `invalid`.

    `valid` are events that belong into Silver, each id once; `late` are those events, valid or not, whose
    event_time was set back.
    """

    valid: int = 0
    duplicates: int = 0
    late: int = 0
    invalid: dict[Fault, int] = field(default_factory=lambda: dict.fromkeys(Fault, 0))

    @property
    def sent(self) -> int:
        """All messages made."""
        return self.valid + self.duplicates + sum(self.invalid.values())

    def as_json(self) -> dict[str, Any]:
        """The counts by name."""
        return {
            "sent": self.sent,
            "valid": self.valid,
            "duplicates": self.duplicates,
            "late": self.late,
            "invalid": {fault.value: count for fault, count in self.invalid.items()},
        }
