"""The one partitioning that all assets share: hours of ingestion, the running one included."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from ecom_lakehouse.lake.start_hour import start_hour
from ecom_lakehouse.settings import load_settings

KEY_FORMAT = "%Y-%m-%d-%H:%M"

hourly = dg.HourlyPartitionsDefinition(
    start_date=start_hour(load_settings()).strftime(KEY_FORMAT), timezone="UTC", fmt=KEY_FORMAT, end_offset=1
)


def partition_key(hour: datetime) -> str:
    """The partition's key of a UTC hour."""
    return hour.astimezone(UTC).strftime(KEY_FORMAT)


def hour_of(key: str) -> datetime:
    """The UTC hour of a partition's key."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)
