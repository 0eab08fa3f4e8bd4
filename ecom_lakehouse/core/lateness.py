"""When an event counts as late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as sf

if TYPE_CHECKING:
    from pyspark.sql import Column

MINUTE = timedelta(minutes=1)


def is_late(grace: timedelta) -> Column:
    """Whether an event's minute had ended, and the grace was over, before the broker got the message.

    A late event is accepted like any other; its minute was closed and is rewritten. For frames with
    `event_time` and `kafka_timestamp`.
    """
    closes = sf.unix_micros(sf.date_trunc("minute", "event_time")) + (MINUTE + grace) // timedelta(
        microseconds=1
    )
    return sf.unix_micros("kafka_timestamp") > closes
