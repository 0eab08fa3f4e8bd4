"""The audit: whether what is stored is what was promised, told by what is stored, not by who wrote it.

Each promise is one query over the tables and a copy of the ledger; a row that it gives is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ecom_lakehouse.core.kpis import counts_by_minute, kpi_values
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.silver import minutes_of
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.lake.writer import take_right_to_write
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAIT_FOR_WRITER_SECONDS = 300.0
MOST_NAMED = 20
"""How many differences of one promise are named one by one."""


@dataclass(frozen=True)
class Promise:
    """A promise and the query that gives what breaks it: columns `slice_id` and `rows`, and `what` in words."""

    name: str
    query: str


PROMISES = (
    Promise(
        "Bronze holds no slice that the ledger doesn't know",
        "SELECT slice_id, count(*) AS rows, 'rows of an unknown slice' AS what FROM bronze"
        " WHERE slice_id NOT IN (SELECT slice_id FROM known) GROUP BY slice_id",
    ),
    Promise(
        "every Bronze row lies inside its slice's offset ranges",
        "SELECT b.slice_id, count(*) AS rows, 'rows outside the planned offsets' AS what FROM bronze b"
        " LEFT ANTI JOIN ranges r ON r.slice_id = b.slice_id AND r.kafka_partition = b.kafka_partition"
        "  AND b.kafka_offset >= r.start_offset AND b.kafka_offset < r.end_offset"
        " WHERE b.slice_id IN (SELECT slice_id FROM known) GROUP BY b.slice_id",
    ),
    Promise(
        "Bronze holds as many rows of each range as were read",
        "SELECT r.slice_id, abs(r.bronze_rows - coalesce(b.rows, 0)) AS rows,"
        " concat('Kafka partition ', r.kafka_partition, ': ', r.bronze_rows, ' read, ', coalesce(b.rows, 0),"
        "        ' stored') AS what"
        " FROM ranges r LEFT JOIN (SELECT slice_id, kafka_partition, count(*) AS rows FROM bronze"
        "  GROUP BY slice_id, kafka_partition) b ON b.slice_id = r.slice_id AND b.kafka_partition = r.kafka_partition"
        " WHERE r.slice_id IN (SELECT slice_id FROM finished) AND r.bronze_rows <> coalesce(b.rows, 0)",
    ),
    *(
        Promise(
            f"no coordinate is in {table} twice",
            f"SELECT slice_id, count(*) AS rows, 'coordinates more than once' AS what FROM"
            f" (SELECT slice_id, kafka_partition, kafka_offset FROM {table}"
            f"  GROUP BY slice_id, kafka_partition, kafka_offset HAVING count(*) > 1) GROUP BY slice_id",
        )
        for table in ("bronze", "silver", "quarantine")
    ),
    *(
        Promise(
            f"{table} holds as many rows of each slice as were counted",
            f"SELECT f.slice_id, abs(f.{table}_rows - coalesce(t.rows, 0)) AS rows,"
            f" concat(f.{table}_rows, ' counted, ', coalesce(t.rows, 0), ' stored') AS what"
            f" FROM finished f LEFT JOIN (SELECT slice_id, count(*) AS rows FROM {table} GROUP BY slice_id) t"
            f" ON t.slice_id = f.slice_id WHERE f.{table}_rows <> coalesce(t.rows, 0)",
        )
        for table in ("silver", "quarantine")
    ),
    Promise(
        "every row of Silver and Quarantine is in Bronze",
        "SELECT slice_id, count(*) AS rows, 'rows without their Bronze row' AS what FROM"
        " (SELECT slice_id, kafka_partition, kafka_offset FROM silver UNION ALL"
        "  SELECT slice_id, kafka_partition, kafka_offset FROM quarantine) t"
        " LEFT ANTI JOIN bronze b USING (slice_id, kafka_partition, kafka_offset) GROUP BY slice_id",
    ),
    Promise(
        "no row is in Silver and in Quarantine",
        "SELECT slice_id, count(*) AS rows, 'rows in both' AS what FROM silver"
        " LEFT SEMI JOIN quarantine q USING (slice_id, kafka_partition, kafka_offset) GROUP BY slice_id",
    ),
    Promise(
        "Bronze = Silver + Quarantine + duplicates",
        "SELECT f.slice_id, abs(coalesce(b.rows, 0) - f.silver_rows - f.quarantine_rows - f.duplicate_rows) AS rows,"
        " concat(coalesce(b.rows, 0), ' in Bronze; ', f.silver_rows, ' + ', f.quarantine_rows, ' + ',"
        "        f.duplicate_rows, ' counted') AS what"
        " FROM finished f LEFT JOIN (SELECT slice_id, count(*) AS rows FROM bronze GROUP BY slice_id) b"
        " ON b.slice_id = f.slice_id"
        " WHERE coalesce(b.rows, 0) <> f.silver_rows + f.quarantine_rows + f.duplicate_rows",
    ),
    Promise(
        "every duplicate has an accepted copy in Silver",
        "SELECT slice_id, count(*) AS rows, 'duplicates without an accepted copy' AS what FROM"
        " (SELECT slice_id, event_id FROM bronze"
        "  LEFT ANTI JOIN silver USING (slice_id, kafka_partition, kafka_offset)"
        "  LEFT ANTI JOIN quarantine USING (slice_id, kafka_partition, kafka_offset)"
        "  WHERE slice_id IN (SELECT slice_id FROM finished)) d"
        " LEFT ANTI JOIN (SELECT event_id FROM all_silver) s USING (event_id) GROUP BY slice_id",
    ),
    Promise(
        "an event_id is in Silver once an event hour",
        "SELECT max(slice_id) AS slice_id, count(*) - 1 AS rows, concat('event_id ', event_id) AS what FROM silver"
        " GROUP BY event_id, event_date, event_hour HAVING count(*) > 1",
    ),
)


@dataclass(frozen=True)
class Difference:
    """What is not as promised: the promise, where, how many rows or values, and the hour whose rebuild mends it."""

    promise: str
    where: str
    rows: int
    rebuild_hour: datetime | None


@dataclass
class AuditReport:
    """What was looked at, what differs, and what was passed over because it is unfinished."""

    differences: list[Difference] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    finished_slices: int = 0
    unfinished_slices: list[int] = field(default_factory=list)
    minutes: int = 0
    lost_offsets: int = 0

    @property
    def passed(self) -> bool:
        """Whether everything is as promised."""
        return not self.differences

    @property
    def rebuild_hours(self) -> list[datetime]:
        """The hours whose rebuild mends what differs, oldest first."""
        return sorted({each.rebuild_hour for each in self.differences if each.rebuild_hour is not None})


def audit(settings: Settings) -> AuditReport:
    """Compares ledger, Bronze, Silver, Quarantine and Gold; writes nothing.

    What is unfinished, held or being rebuilt is named and not judged. They are read one after the other, so what
    differs while a run writes is looked at again with the right to write in hand, when nothing can move.

    Raises:
        WriterBusyError: something differs, and a run writes on and on: nothing can be said yet.
    """
    report = _look(settings)
    if report.passed:
        return report
    with take_right_to_write(settings, WAIT_FOR_WRITER_SECONDS):
        return _look(settings)


def _look(settings: Settings) -> AuditReport:
    report = AuditReport()
    lake = Lake(settings)
    with connect(settings, autocommit=True) as connection, spark_session(settings) as spark:
        ledger = Ledger(connection)
        _register(spark, lake, ledger)
        report.unfinished_slices = [each.slice_id for each in ledger.unfinished()]
        report.finished_slices = spark.table("finished").count()
        report.rows = {table: spark.table(table).count() for table in ("bronze", "silver", "quarantine")}
        report.lost_offsets = ledger.lost_offsets_in_all()
        hours = ledger.hours_by_slice()
        for promise in PROMISES:
            report.differences += _differences(spark, promise, hours)
        report.differences += _gold_differences(spark, ledger, report)
    return report


def _register(spark: SparkSession, lake: Lake, ledger: Ledger) -> None:
    """The tables and a copy of the ledger, as views of this session; Silver and Quarantine of finished slices."""
    for name, query, schema in (
        ("known", "select slice_id from lake.slices", "slice_id BIGINT"),
        (
            "finished",
            "select slice_id, silver_rows, quarantine_rows, duplicate_rows from lake.slices where state = 'done'",
            "slice_id BIGINT, silver_rows BIGINT, quarantine_rows BIGINT, duplicate_rows BIGINT",
        ),
        (
            "ranges",
            "select slice_id, kafka_partition, start_offset, end_offset, bronze_rows from lake.slice_ranges",
            "slice_id BIGINT, kafka_partition INT, start_offset BIGINT, end_offset BIGINT, bronze_rows BIGINT",
        ),
    ):
        rows = [tuple(row.values()) for row in ledger.connection.execute(query).fetchall()]
        spark.createDataFrame(rows, schema).createOrReplaceTempView(name)
    lake.bronze.read(spark).createOrReplaceTempView("bronze")
    for name, table in (("silver", lake.silver), ("quarantine", lake.quarantine)):
        table.read(spark).createOrReplaceTempView(f"all_{name}")
        finished = spark.sql(f"SELECT * FROM all_{name} WHERE slice_id IN (SELECT slice_id FROM finished)")
        finished.createOrReplaceTempView(name)


def _differences(spark: SparkSession, promise: Promise, hours: dict[int, datetime]) -> Iterator[Difference]:
    broken = spark.sql(promise.query).orderBy("slice_id").toArrow().to_pylist()
    for row in broken[:MOST_NAMED]:
        where = f"slice {row['slice_id']}: {row['what']}"
        yield Difference(promise.name, where, int(row["rows"]), hours.get(row["slice_id"]))
    if len(broken) > MOST_NAMED:
        rest = broken[MOST_NAMED:]
        for hour in sorted({hours[row["slice_id"]] for row in rest if row["slice_id"] in hours}):
            of_hour = [row for row in rest if hours.get(row["slice_id"]) == hour]
            yield Difference(
                promise.name, f"{len(of_hour)} more places", sum(int(row["rows"]) for row in of_hour), hour
            )


def _gold_differences(spark: SparkSession, ledger: Ledger, report: AuditReport) -> Iterator[Difference]:
    """Gold against Silver, value by value; minutes of unfinished slices are left to the run that finishes them."""
    unfinished = spark.sql("SELECT * FROM all_silver WHERE slice_id NOT IN (SELECT slice_id FROM finished)")
    open_minutes = set(ledger.dirty_minutes(held=True)) | minutes_of(unfinished)
    counts = counts_by_minute(spark.table("all_silver")).toArrow()
    minutes = [each.replace(tzinfo=UTC) for each in counts["minute"].cast(pa.timestamp("us")).to_pylist()]
    expected = dict(zip(minutes, map(kpi_values, counts.drop(["minute"]).to_pylist()), strict=True))
    stored: dict[datetime, dict[str, Decimal]] = {}
    for row in ledger.connection.execute("select window_start, metric, value from serving.kpi_minute"):
        stored.setdefault(row["window_start"], {})[row["metric"]] = row["value"]
    report.minutes = len(stored)
    different = [
        minute
        for minute in sorted(expected.keys() | stored.keys())
        if minute not in open_minutes and expected.get(minute) != stored.get(minute)
    ]
    slices = _slice_of_minutes(spark, different)
    for minute in different[:MOST_NAMED]:
        values = _values_that_differ(expected.get(minute, {}), stored.get(minute, {}))
        yield Difference(
            "Gold = Silver",
            f"minute {minute:%Y-%m-%d %H:%M}Z: {values}",
            len(expected.get(minute, {}).keys() | stored.get(minute, {}).keys()),
            slices.get(minute),
        )
    if len(different) > MOST_NAMED:
        rest = different[MOST_NAMED:]
        for hour in sorted({slices[each] for each in rest if each in slices}):
            yield Difference(
                "Gold = Silver", "more minutes", sum(slices.get(each) == hour for each in rest), hour
            )


def _slice_of_minutes(spark: SparkSession, minutes: list[datetime]) -> dict[datetime, datetime]:
    """For each minute of event time the hour of ingestion of its newest row, whose rebuild computes it anew."""
    if not minutes:
        return {}
    newest = spark.sql(
        "SELECT date_trunc('minute', event_time) AS minute, max_by(ingest_date, slice_id) AS day,"
        " max_by(ingest_hour, slice_id) AS hour FROM all_silver GROUP BY 1"
    ).toArrow()
    found = {}
    for row in newest.to_pylist():
        hour = datetime(row["day"].year, row["day"].month, row["day"].day, row["hour"], tzinfo=UTC)
        found[row["minute"].replace(tzinfo=UTC)] = hour
    return {minute: found[minute] for minute in minutes if minute in found}


def _values_that_differ(expected: dict[str, Any], stored: dict[str, Any]) -> str:
    return ", ".join(
        f"{metric} is {stored.get(metric, 'missing')}, Silver gives {expected.get(metric, 'none')}"
        for metric in sorted(expected.keys() | stored.keys())
        if expected.get(metric) != stored.get(metric)
    )
