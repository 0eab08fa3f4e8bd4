"""How far Gold can be trusted: what is closed, what is provisional, what has changed when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ecom_lakehouse.serving.queries.connection import Connection, fetch_one
from ecom_lakehouse.settings import Settings


@dataclass(frozen=True)
class Freshness:
    """A moment's view of Gold; asked before the data, so that it never promises more than the data holds."""

    reached_gold_at: datetime | None
    changed_at: datetime | None
    asked_at: datetime
    grace: timedelta
    stale_after: timedelta

    def is_provisional(self, window_end: datetime) -> bool:
        """Whether messages of a window that ends here may still be on their way."""
        return self.reached_gold_at is None or window_end + self.grace > self.reached_gold_at

    @property
    def closed_before(self) -> datetime | None:
        """Minutes that end here or earlier are closed."""
        return None if self.reached_gold_at is None else self.reached_gold_at - self.grace

    @property
    def is_fresh(self) -> bool:
        """Whether the newest data is younger than the setting `stale_after_seconds`."""
        return self.reached_gold_at is not None and self.asked_at - self.reached_gold_at <= self.stale_after


async def freshness(connection: Connection, settings: Settings) -> Freshness:
    """The freshness now, by Postgres' clock; `changed_at` is Gold's newest change of any kind."""
    row = await fetch_one(
        connection,
        """
        select reached_gold_at, clock_timestamp() as asked_at,
               greatest(reached_gold_at, (select max(updated_at) from serving.kpi_minute),
                        (select max(gold_at) from lake.slices)) as changed_at
        from serving.freshness
        """,
    )
    return Freshness(
        row["reached_gold_at"],
        row["changed_at"],
        row["asked_at"],
        timedelta(seconds=settings.close_grace_seconds),
        timedelta(seconds=settings.stale_after_seconds),
    )
