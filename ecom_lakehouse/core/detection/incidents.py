"""From verdicts to incidents: what belongs together is one, it ends when things are ordinary again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ecom_lakehouse.core.detection.verdict import Severity, State, Verdict

NO_EVENTS_RULE = "no_events_v1"
EVENTS = "events_total"
MINUTE = timedelta(minutes=1)
CONFIRM_WITHIN = 3 * MINUTE
EXPECTED_EVENTS = 10.0  # so many must have been expected of the empty minutes before silence alarms

AlertIds = Callable[[str, datetime], str]
"""Gives an incident's id from its rule and first minute."""


@dataclass(frozen=True)
class IncidentRules:
    """When an incident opens and ends."""

    resolve_minutes: int = 10
    cooldown_minutes: int = 10
    no_events_minutes: int = 5


@dataclass
class Incident:
    """One alert: the verdict that opened it, how bad it got, and what else was off meanwhile."""

    alert_id: str
    rule: str
    window_start: datetime
    last_window: datetime
    metric: str
    value: float | None
    baseline: float | None
    score: float
    severity: Severity
    resolved_at: datetime | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def state(self) -> State:
        """The incident as JSON."""
        return {
            **asdict(self),
            "window_start": self.window_start.isoformat(),
            "last_window": self.last_window.isoformat(),
            "severity": self.severity.value,
            "resolved_at": self.resolved_at and self.resolved_at.isoformat(),
        }

    @classmethod
    def from_state(cls, state: State) -> Incident:
        """The incident that had this state."""
        resolved = state["resolved_at"]
        return cls(
            **{
                **state,
                "window_start": datetime.fromisoformat(state["window_start"]),
                "last_window": datetime.fromisoformat(state["last_window"]),
                "severity": Severity(state["severity"]),
                "resolved_at": resolved and datetime.fromisoformat(resolved),
            }
        )


class IncidentBook:
    """Turns each minute's verdicts into at most one open incident, minute by minute, in order.

    A critical verdict opens one at once, a warning when a second metric warns with it or another minute of the
    last three warned too. A warning within the cooldown after an incident's end opens none; a critical verdict
    always does. Several metrics that alarm while one is open belong to it; its severity only rises. It ends after
    `resolve_minutes` ordinary minutes in a row.
    """

    def __init__(self, rule: str, rules: IncidentRules, ids: AlertIds) -> None:
        self.rule = rule
        self._rules = rules
        self._ids = ids
        self.open: Incident | None = None
        self._quiet = 0
        self._ended: datetime | None = None
        self._warned: list[datetime] = []
        self._empty = 0
        self._expected = 0.0
        self._ever_events = False

    def minute(self, minute: datetime, verdicts: Mapping[str, Verdict], events: float) -> Incident | None:
        """Takes one minute's verdicts by metric and its number of events.

        Returns the incident that the minute opened, changed or ended.
        """
        self._count_empty(events, verdicts.get(EVENTS))
        alarms = {
            metric: verdict for metric, verdict in verdicts.items() if verdict.severity is not Severity.NONE
        }
        silent = self._is_silent()
        if self.open is None:
            return self._perhaps_opened(minute, alarms, silent)
        if not alarms and not silent:
            return self._perhaps_ended(minute)
        self._quiet = 0
        self._join(self.open, minute, alarms, silent)
        return self.open

    def _count_empty(self, events: float, verdict: Verdict | None) -> None:
        if events > 0:
            self._empty, self._expected, self._ever_events = 0, 0.0, True
            return
        self._empty += 1
        if verdict is None or verdict.baseline is None:
            self._expected += EXPECTED_EVENTS  # nothing is known yet: then silence itself is the news
        else:
            self._expected += verdict.baseline

    def _is_silent(self) -> bool:
        return (
            self._ever_events
            and self._empty >= self._rules.no_events_minutes
            and self._expected >= EXPECTED_EVENTS
        )

    def _perhaps_opened(
        self, minute: datetime, alarms: Mapping[str, Verdict], silent: bool
    ) -> Incident | None:
        if silent:
            start = minute - (self._empty - 1) * MINUTE
            self.open = Incident(
                alert_id=self._ids(NO_EVENTS_RULE, start),
                rule=NO_EVENTS_RULE,
                window_start=start,
                last_window=minute,
                metric=EVENTS,
                value=0.0,
                baseline=self._expected / self._empty,
                score=1.0,
                severity=Severity.CRITICAL,
            )
            self._join(self.open, minute, alarms, silent)
            return self.open
        if not alarms:
            return None
        worst = max(alarms, key=lambda metric: _order(alarms[metric]))
        verdict = alarms[worst]
        self._warned = [*(one for one in self._warned if minute - one < CONFIRM_WITHIN), minute]
        if verdict.severity is not Severity.CRITICAL and len(alarms) < 2 and len(self._warned) < 2:
            return None
        cooling = self._ended is not None and minute - self._ended < self._rules.cooldown_minutes * MINUTE
        if cooling and verdict.severity is not Severity.CRITICAL:
            return None
        self._quiet = 0
        self.open = Incident(
            alert_id=self._ids(self.rule, minute),
            rule=self.rule,
            window_start=minute,
            last_window=minute,
            metric=worst,
            value=verdict.value,
            baseline=verdict.baseline,
            score=verdict.score,
            severity=verdict.severity,
        )
        self._join(self.open, minute, alarms, silent)
        return self.open

    def _join(
        self, incident: Incident, minute: datetime, alarms: Mapping[str, Verdict], silent: bool
    ) -> None:
        """Adds a minute to an incident: for each metric its first and its worst verdict, all inputs with it."""
        incident.last_window = minute
        details = incident.details
        details.setdefault("opened_at", minute.isoformat())
        details["minutes"] = details.get("minutes", 0) + 1
        metrics = details.setdefault("metrics", {})
        for metric, verdict in alarms.items():
            told = _told(minute, verdict)
            known = metrics.setdefault(metric, {"first": told, "worst": told, "minutes": 0})
            known["minutes"] += 1
            if _order(verdict) > (Severity(known["worst"]["severity"]).rank, abs(known["worst"]["z"] or 0.0)):
                known["worst"] = told
            if verdict.severity.rank > incident.severity.rank:
                incident.severity = verdict.severity
                details["raised_at"] = minute.isoformat()
        if silent:
            details["no_events"] = {"minutes": self._empty, "expected_events": round(self._expected, 3)}
            incident.severity = Severity.CRITICAL

    def _perhaps_ended(self, minute: datetime) -> Incident | None:
        self._quiet += 1
        incident = self.open
        if incident is None or self._quiet < self._rules.resolve_minutes:
            return None
        incident.resolved_at = minute + MINUTE
        self._ended, self.open, self._quiet = minute, None, 0
        return incident

    def state(self) -> State:
        """All that the book knows, as JSON."""
        return {
            "open": self.open and self.open.state(),
            "quiet": self._quiet,
            "ended": self._ended and self._ended.isoformat(),
            "warned": [one.isoformat() for one in self._warned],
            "empty": self._empty,
            "expected": self._expected,
            "ever_events": self._ever_events,
        }

    @classmethod
    def from_state(cls, state: State, rule: str, rules: IncidentRules, ids: AlertIds) -> IncidentBook:
        """The book that had this state."""
        book = cls(rule, rules, ids)
        book.open = state["open"] and Incident.from_state(state["open"])
        book._quiet, book._empty = state["quiet"], state["empty"]
        book._expected, book._ever_events = state["expected"], state["ever_events"]
        book._warned = [datetime.fromisoformat(one) for one in state["warned"]]
        book._ended = state["ended"] and datetime.fromisoformat(state["ended"])
        return book


def _order(verdict: Verdict) -> tuple[int, float]:
    """What makes one verdict worse than another."""
    return verdict.severity.rank, abs(verdict.z or 0.0)


def _told(minute: datetime, verdict: Verdict) -> dict[str, Any]:
    return {
        "window_start": minute.isoformat(),
        "value": verdict.value,
        "baseline": verdict.baseline,
        "lower": verdict.lower,
        "upper": verdict.upper,
        "score": round(verdict.score, 6),
        "z": None if verdict.z is None else round(verdict.z, 3),
        "severity": verdict.severity.value,
        "reason": verdict.reason,
        "inputs": dict(verdict.inputs),
    }
