"""Prometheus: the API's own numbers, and the pipeline's as the ledger has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from ecom_lakehouse.serving.api.database import Database
from ecom_lakehouse.serving.api.problems import ApiProblem
from ecom_lakehouse.serving.queries.totals import Totals, totals
from ecom_lakehouse.settings import Settings

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ApiMetrics:
    """One registry an app: requests are counted as they come, the pipeline is asked at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "lakehouse_api_request_seconds",
            "Seconds from request to the last byte of its answer.",
            ("method", "path"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "lakehouse_api_requests",
            "Requests answered, by status.",
            ("method", "path", "status"),
            registry=self.registry,
        )

    def count(self, method: str, path: str, status: int, seconds: float, *, endless: bool) -> None:
        """Notes one answered request; how long an endless one lasted says nothing of speed."""
        self._requests.labels(method, path, str(status)).inc()
        if not endless:
            self._seconds.labels(method, path).observe(seconds)

    async def page(self, settings: Settings, database: Database, listeners: int) -> bytes:
        """The page that Prometheus reads; without Postgres, what there is without it."""
        try:
            async with database.connection() as connection:
                found: Totals | None = await totals(connection, settings)
        except ApiProblem:
            found = None
        scrape = CollectorRegistry()
        scrape.register(_Once([*_service(database, listeners, found), *(_pipeline(found) if found else ())]))
        return generate_latest(self.registry) + generate_latest(scrape)


class _Once:
    """A collector of families that are made already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _service(database: Database, listeners: int, found: Totals | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("lakehouse_postgres_up", "Whether Postgres answers.", float(found is not None))
    yield GaugeMetricFamily("lakehouse_api_stream_listeners", "Listeners of /kpis/stream.", listeners)
    pool = GaugeMetricFamily("lakehouse_api_pool", "The pool's connections and waiters.", labels=["what"])
    stats = database.stats()
    for what in ("pool_size", "pool_available", "requests_waiting"):
        pool.add_metric([what], stats.get(what, 0))
    yield pool


def _pipeline(found: Totals) -> Iterator[Metric]:
    gauges: tuple[tuple[str, str, float | None], ...] = (
        ("lag_messages", "Messages that Kafka holds and Gold does not.", found.lag_messages),
        ("lag_seconds", "Age of the moment up to which all of Kafka is counted.", found.lag_seconds),
        ("newest_kpi_age_seconds", "Age of the newest minute with KPIs.", found.newest_kpi_age_seconds),
        ("dirty_minutes", "Minutes whose Gold has not followed Silver yet.", found.dirty_minutes),
        ("lost_messages", "Messages that Kafka dropped before they were read.", found.lost_messages),
        ("failing_checks", "Checks that fail on one of the last 24 hours.", found.failing_checks),
    )
    for name, meaning, value in gauges:
        if value is not None:
            yield GaugeMetricFamily(f"lakehouse_{name}", meaning, float(value))
    yield _labelled("slices", "Slices by state.", "state", found.slices)
    yield _labelled("alerts_open", "Open alerts by severity.", "severity", found.alerts_open)
    yield _labelled("slice_seconds", "Seconds of the newest written slice.", "layer", found.slice_seconds)
    yield _labelled("last_hour_rows", "Rows of the last hour's slices.", "layer", found.rows)
    yield _labelled("last_hour_broken_rows", "Their messages that broke a rule.", "rule", found.broken)


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(f"lakehouse_{name}", meaning, labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric
