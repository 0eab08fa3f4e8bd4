"""What can be asked of a batch of events: plain yes-or-no answers, a row each, for the rules to combine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ecom_lakehouse.core.contract import Limits

Answers = NDArray[np.bool_]

_MICROSECOND = timedelta(microseconds=1)


class Evidence:
    """A batch of messages with their typed fields; an unreadable field answers no to every comparison.

    Args:
        columns: the contract's typed fields and `kafka_timestamp`, as Arrow columns.
        empty: rows without a value.
        malformed: rows whose value is no JSON object.
        limits: how far event_time may lie from the broker's timestamp.
    """

    def __init__(
        self, columns: Mapping[str, pa.Array], empty: Answers, malformed: Answers, limits: Limits
    ) -> None:
        self.empty = empty
        self.malformed = malformed
        self.limits = limits
        self._columns = columns
        event_time = columns["event_time"].cast(pa.int64())
        broker_time = columns["kafka_timestamp"].cast(pa.int64())
        self._ahead_micros: NDArray[np.int64] = pc.fill_null(
            pc.subtract(event_time, broker_time), 0
        ).to_numpy()

    def missing(self, field: str) -> Answers:
        """The field is absent, null, of the wrong type, empty, or can't be held by its column."""
        return _answers(pc.is_null(self._columns[field]))

    def is_one_of(self, field: str, *values: str) -> Answers:
        """The field is one of these."""
        return _answers(pc.is_in(self._columns[field], value_set=pa.array(values)))

    def below(self, field: str, least: int) -> Answers:
        """The field is a number less than this."""
        return _answers(pc.less(self._columns[field], pa.scalar(least, self._columns[field].type)))

    def differs(self, field: str, value: int) -> Answers:
        """The field is a number other than this."""
        return _answers(pc.not_equal(self._columns[field], pa.scalar(value, self._columns[field].type)))

    def unlike(self, field: str, pattern: str) -> Answers:
        """The field is a string that the pattern doesn't match as a whole."""
        return _answers(pc.invert(pc.match_substring_regex(self._columns[field], rf"\A(?:{pattern})\z")))

    def ahead_of_broker(self) -> Answers:
        """event_time is further after the broker's timestamp than the limit."""
        return np.greater(self._ahead_micros, self.limits.future // _MICROSECOND)

    def behind_broker(self) -> Answers:
        """event_time is further before the broker's timestamp than the limit."""
        return np.less(self._ahead_micros, -(self.limits.age // _MICROSECOND))


def _answers(mask: pa.Array) -> Answers:
    answers: Answers = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return answers
