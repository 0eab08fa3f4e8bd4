"""The scorer: every closed minute once, in order, and again when late data has changed it.

It keeps its own position, so it does not matter who calls it, how often, or how many calls were missed: one call
at a time works, in one transaction, and does a bounded part of what there is to do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ecom_lakehouse.core.detection import Detector, State, Verdict
from ecom_lakehouse.core.detection.incidents import EVENTS, Incident, IncidentBook, IncidentRules
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.serving import alert_store, detector_store
from ecom_lakehouse.serving.detector_store import Connection, Position, ScoredMinute
from ecom_lakehouse.serving.detectors import metric_detector, min_support, rule_parameters, support_of
from ecom_lakehouse.serving.pipeline_watch import watch_pipeline
from ecom_lakehouse.settings import Settings

MINUTE = timedelta(minutes=1)
HISTORY = timedelta(days=28)  # how far back a first start learns from
RECENT = 30 * MINUTE  # late data mostly changes minutes that are not older
SNAPSHOT_EVERY_RECENT, SNAPSHOT_EVERY = 5, 30  # minutes between snapshots, of the recent ones and before
BOOK = "incidents"  # the snapshot's part that is no metric


@dataclass(frozen=True)
class Scoring:
    """What one call did."""

    minutes: int = 0
    minutes_again: int = 0
    alerts: dict[str, int] = field(default_factory=dict)
    next_minute: datetime | None = None
    minutes_left: int = 0
    pipeline: str | None = None
    idle: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def slowest_step(self) -> str:
        """The step that took longest, with its seconds."""
        if not self.seconds:
            return ""
        name = max(self.seconds, key=lambda one: self.seconds[one])
        return f"{name}, {self.seconds[name]:.3f} s"


def score_closed_minutes(settings: Settings) -> Scoring:
    """Scores what has closed since the last call and what has changed since it was scored; watches the pipeline.

    At most `detector_minutes_per_tick` new minutes a call. A closed minute without rows in Gold had no events. Two
    callers at once: one works, the other is told so. The scoring is committed together or not at all; the watch
    before it by itself, so that a fault of the scoring does not silence it.

    Raises:
        LedgerError: Postgres cannot be reached.
    """
    with connect(settings) as connection:
        with connection.transaction():
            pipeline = watch_pipeline(connection, settings)
        with connection.transaction():
            if not detector_store.take_lock(connection):
                return Scoring(
                    pipeline=pipeline, idle="Another detector is at work; it scores what there is."
                )
            closed_before = _closed_before(connection, settings)
            if closed_before is None:
                return Scoring(pipeline=pipeline, idle="No minute is closed yet.")
            return _Call(connection, settings, closed_before, pipeline).run()


class _Call:
    """One call's work, within its transaction."""

    def __init__(
        self, connection: Connection, settings: Settings, closed_before: datetime, pipeline: str | None
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.rule = settings.detector_rule
        self.closed_before = closed_before
        self.pipeline = pipeline
        self.zone = ZoneInfo(settings.detector_time_zone)
        self.incident_rules = IncidentRules(
            resolve_minutes=settings.alert_resolve_minutes,
            cooldown_minutes=settings.alert_cooldown_minutes,
            no_events_minutes=settings.alert_no_events_minutes,
        )
        self.supports = {metric: support_of(metric) for metric in settings.detector_metrics}
        self.seconds: dict[str, float] = {}
        self._clock = time.perf_counter()

    def run(self) -> Scoring:
        """Finds where to begin, scores, and stores what came of it."""
        position = self._position()
        if position is None:
            return Scoring(pipeline=self.pipeline, idle="Gold holds no minute yet.")
        start = self._start(position)
        ahead = position.next_minute + self.settings.detector_minutes_per_tick * MINUTE
        end = min(max(self.closed_before, position.next_minute), ahead)
        self._timed("look")
        if start >= end:
            return Scoring(
                pipeline=self.pipeline,
                next_minute=position.next_minute,
                idle=f"Every closed minute before {position.next_minute:%Y-%m-%d %H:%M} UTC is scored.",
            )
        start, detectors, book_state = self._restored(position, start)
        known = alert_store.known_between(self.connection, start, end, position.alerts_from)
        book = self._book(book_state, known)
        values = detector_store.values_between(self.connection, self._needed(), start, end)
        self._timed("read")

        scored, incidents, snapshots = self._scored(position, start, end, values, detectors, book)
        self._timed("score")
        detector_store.keep_scores(self.connection, self.rule, scored)
        detector_store.replace_snapshots(self.connection, self.rule, start, snapshots)
        detector_store.move_on(self.connection, self.rule, end)
        self._thin_out(end)
        self._timed("keep")
        counts = alert_store.store(self.connection, self.settings, incidents, known)
        if end >= position.alerts_from:
            alert_store.resolve_others(self.connection, end, book.open.alert_id if book.open else None)
        self._timed("alerts")
        return Scoring(
            minutes=max(round((end - position.next_minute) / MINUTE), 0),
            minutes_again=max(round((min(position.next_minute, end) - start) / MINUTE), 0),
            alerts=counts,
            next_minute=end,
            minutes_left=max(round((self.closed_before - end) / MINUTE), 0),
            pipeline=self.pipeline,
            seconds=self.seconds,
        )

    def _position(self) -> Position | None:
        parameters = self._parameters()
        position = detector_store.position(self.connection, self.rule, parameters)
        if position is not None:
            return self._with_late_history(position, parameters)
        return detector_store.start_anew(self.connection, self.rule, parameters, self.closed_before, HISTORY)

    def _with_late_history(self, position: Position, parameters: dict[str, Any]) -> Position | None:
        """The position, or a new start where Gold was given a history further back than is judged again.

        A day that is loaded after its minutes were judged empty would else leave a detector that learned nothing.
        """
        oldest = self.closed_before - HISTORY
        until = position.next_minute - self.settings.detector_rescore_minutes * MINUTE
        if not detector_store.has_late_history(
            self.connection, self.rule, position, oldest, until, self.settings.detector_metrics
        ):
            return position
        return detector_store.start_anew(
            self.connection, self.rule, parameters, self.closed_before, HISTORY, judge_again=True
        )

    def _parameters(self) -> dict[str, Any]:
        """What a position belongs to: with anything of it changed, the rule starts anew."""
        return {
            **rule_parameters(self.settings, self.rule),
            "metrics": list(self.settings.detector_metrics),
            "min_support": {
                metric: min_support(self.settings, metric)
                for metric, support in self.supports.items()
                if support
            },
            "zone": self.settings.detector_time_zone,
            "incidents": [
                *(self.incident_rules.resolve_minutes, self.incident_rules.cooldown_minutes),
                self.incident_rules.no_events_minutes,
            ],
        }

    def _start(self, position: Position) -> datetime:
        """Where scoring begins: at the oldest minute that changed since it was scored, else at the position."""
        since = position.next_minute - self.settings.detector_rescore_minutes * MINUTE
        changed = detector_store.first_changed(self.connection, self.rule, since, self.supports)
        return min(changed or position.next_minute, position.next_minute)

    def _restored(
        self, position: Position, start: datetime
    ) -> tuple[datetime, dict[str, Detector], State | None]:
        """The detectors as they were before a minute, from the snapshot before it; its next minute is the start."""
        snapshot = detector_store.snapshot_before(self.connection, self.rule, start)
        at, parts = snapshot or (position.first_minute, {})
        detectors = {
            metric: metric_detector(self.settings, metric, parts.get(metric))
            for metric in self.settings.detector_metrics
        }
        return at, detectors, parts.get(BOOK)

    def _book(self, state: State | None, known: alert_store.KnownAlerts) -> IncidentBook:
        if state is None:
            return IncidentBook(self.rule, self.incident_rules, known.id_for)
        return IncidentBook.from_state(state, self.rule, self.incident_rules, known.id_for)

    def _needed(self) -> list[str]:
        return sorted({EVENTS, *self.supports, *(support for support in self.supports.values() if support)})

    def _scored(
        self,
        position: Position,
        start: datetime,
        end: datetime,
        values: dict[datetime, dict[str, float]],
        detectors: dict[str, Detector],
        book: IncidentBook,
    ) -> tuple[list[ScoredMinute], list[Incident], dict[datetime, dict[str, State]]]:
        """Every minute from start to before end, judged; the incidents it made or changed; the snapshots to keep."""
        scored: list[ScoredMinute] = []
        incidents: dict[str, Incident] = {}
        snapshots: dict[datetime, dict[str, State]] = {}
        minute = start
        while minute < end:
            at_minute = values.get(minute, {})
            verdicts: dict[str, Verdict] = {}
            for metric, judge in detectors.items():
                support_name = self.supports[metric]
                support = at_minute.get(support_name, 0.0) if support_name else None
                verdict = judge.observe(minute.astimezone(self.zone), at_minute.get(metric, 0.0), support)
                verdicts[metric] = verdict
                scored.append(ScoredMinute(metric, minute, support, verdict))
            incident = book.minute(minute, verdicts, at_minute.get(EVENTS, 0.0))
            if incident is not None and incident.last_window >= position.alerts_from:
                incidents[incident.alert_id] = incident
            minute += MINUTE
            if self._keeps_snapshot(minute, end):
                snapshots[minute] = {
                    BOOK: book.state(),
                    **{metric: judge.state() for metric, judge in detectors.items()},
                }
        return scored, list(incidents.values()), snapshots

    def _keeps_snapshot(self, next_minute: datetime, end: datetime) -> bool:
        """The newest, one every few minutes before it, and one every half hour as far back as is scored again."""
        depth = (self.settings.detector_rescore_minutes + SNAPSHOT_EVERY) * MINUTE
        if next_minute < end - depth:
            return False
        recent = next_minute >= end - RECENT
        every = SNAPSHOT_EVERY_RECENT if recent else SNAPSHOT_EVERY
        return next_minute == end or next_minute.minute % every == 0

    def _thin_out(self, end: datetime) -> None:
        taken = detector_store.snapshots_of(self.connection, self.rule)
        keep = [one for one in taken if self._keeps_snapshot(one, end)]
        detector_store.thin_out(self.connection, self.rule, keep, end)

    def _timed(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step], self._clock = now - self._clock, now


def _closed_before(connection: Connection, settings: Settings) -> datetime | None:
    """Every minute that starts before this one is closed, but for those that the settings leave for later."""
    row = connection.execute("select reached_gold_at from serving.freshness").fetchone()
    if row is None or row["reached_gold_at"] is None:
        return None
    reached: datetime = row["reached_gold_at"] - timedelta(seconds=settings.close_grace_seconds)
    whole = reached.astimezone(UTC).replace(second=0, microsecond=0)
    return whole - settings.detector_ignore_newest_minutes * MINUTE
