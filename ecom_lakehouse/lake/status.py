"""How the platform is: one look at the ledger, Gold and the checks, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow

from ecom_lakehouse.lake.writer import lock_holder

# The sensor looks every few seconds, paused or not.
LOOK_IS_OLD = timedelta(minutes=5)


@dataclass(frozen=True)
class Status:
    """What `lakehouse status` shows; ages and lags in seconds, times UTC, None where there is nothing yet."""

    at: datetime
    topic: list[dict[str, Any]]
    lag_messages: int
    topic_looked_at: datetime | None
    slices_by_state: dict[str, int]
    last_slice: dict[str, Any] | None
    oldest_unfinished: dict[str, Any] | None
    rows_by_layer: dict[str, int]
    lost_offsets: int
    newest_minute: datetime | None
    newest_minute_age_seconds: float | None
    closed_until: datetime | None
    failing_checks: list[dict[str, Any]]
    held: list[dict[str, Any]]
    keeps_failing: list[dict[str, Any]]
    paused_by: str | None
    blocked: str | None
    writing: bool

    @property
    def healthy(self) -> bool:
        """Whether nothing waits for a person: an old look at the topic means that the sensor is not at work."""
        looked_lately = self.topic_looked_at is None or self.at - self.topic_looked_at < LOOK_IS_OLD
        return (
            not self.held
            and not self.keeps_failing
            and not self.blocked
            and looked_lately
            and not any(check["severity"] == "error" for check in self.failing_checks)
        )

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values, times in ISO 8601."""
        return {**asdict(self), "healthy": self.healthy}


def read_status(connection: psycopg.Connection[DictRow]) -> Status:
    """The status as the ledger has it; the topic's numbers are those of the sensor's last look."""

    def rows(statement: LiteralString) -> list[DictRow]:
        return connection.execute(statement).fetchall()

    looks = rows("select *, lake.reached_gold_at() as closed_until from lake.looks")[0]
    topic = rows(
        "select kafka_partition, earliest_offset, end_offset, position, end_offset - position as lag"
        " from lake.topic_progress where topic_id ="
        " (select topic_id from lake.topics order by adopted_at desc limit 1) order by kafka_partition"
    )
    totals = rows(
        "select coalesce(sum(bronze_rows), 0)::bigint as bronze, coalesce(sum(silver_rows), 0)::bigint as silver,"
        " coalesce(sum(quarantine_rows), 0)::bigint as quarantine,"
        " coalesce(sum(duplicate_rows), 0)::bigint as duplicates,"
        " (select count(*) from serving.kpi_minute) as gold from lake.slices"
    )[0]
    newest = rows("select max(window_start) as newest from serving.kpi_minute")[0]["newest"]
    now = datetime.now(UTC)
    brief: LiteralString = (
        "select slice_id, state, planned_at, planned_hour, next_layer, attempts, last_error, bronze_rows,"
        " silver_rows, quarantine_rows, duplicate_rows, bronze_seconds, silver_seconds, gold_seconds, gold_at,"
        " held_reason from lake.slices "
    )
    last = rows(brief + "order by slice_id desc limit 1")
    oldest = rows(brief + "where next_layer is not null order by slice_id limit 1")
    return Status(
        at=now,
        topic=[dict(row) for row in topic],
        lag_messages=sum(row["lag"] for row in topic),
        topic_looked_at=looks["looked_at"],
        slices_by_state={
            row["state"]: row["slices"]
            for row in rows("select state, count(*) as slices from lake.slices group by state order by state")
        },
        last_slice=last[0] if last else None,
        oldest_unfinished=oldest[0] if oldest else None,
        rows_by_layer={name: int(value) for name, value in totals.items()},
        lost_offsets=int(
            rows("select coalesce(sum(end_offset - start_offset), 0)::bigint as lost from lake.lost_offsets")[
                0
            ]["lost"]
        ),
        newest_minute=newest,
        newest_minute_age_seconds=(now - newest).total_seconds() if newest else None,
        closed_until=looks["closed_until"],
        failing_checks=[
            dict(row)
            for row in rows(
                "select planned_hour, asset, check_name, severity, blocking, description, evaluated_at"
                " from lake.checks where not passed and planned_hour >= now() - interval '1 day'"
                " order by planned_hour desc, asset, check_name"
            )
        ],
        held=[dict(row) for row in rows(brief + "where held_reason is not null order by slice_id")],
        keeps_failing=[
            dict(row)
            for row in rows(
                brief + "where next_layer is not null and held_reason is null and attempts > 1"
                " and last_error is not null order by slice_id"
            )
        ],
        paused_by=looks["paused_by"],
        blocked=looks["blocked"],
        writing=lock_holder(connection) is not None,
    )
