"""From verdicts to incidents."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from ecom_lakehouse.core.detection import Severity, Verdict
from ecom_lakehouse.core.detection.incidents import NO_EVENTS_RULE, Incident, IncidentBook, IncidentRules

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = IncidentRules(resolve_minutes=5, cooldown_minutes=10, no_events_minutes=5)


def verdict(severity: Severity, z: float = 4.0) -> Verdict:
    return Verdict(10.0, 50.0, 40.0, 60.0, 0.8, z, severity, "off", {"n": 3})


def ids(rule: str, minute: datetime) -> str:
    return f"{rule} {minute:%H:%M}"


def run(
    book: IncidentBook, letters: str, metric: str = "revenue", events: float = 100.0
) -> list[Incident | None]:
    """Feeds a minute a letter: . ordinary, w warn, c critical, 0 no events."""
    severities = {".": Severity.NONE, "w": Severity.WARN, "c": Severity.CRITICAL, "0": Severity.NONE}
    return [
        book.minute(START + n * MINUTE, {metric: verdict(severities[one])}, 0.0 if one == "0" else events)
        for n, one in enumerate(letters)
    ]


def opened(changes: list[Incident | None]) -> list[str]:
    return sorted({one.alert_id for one in changes if one is not None})


def test_what_lasts_is_one_incident_until_it_has_been_quiet() -> None:
    book = IncidentBook("r", RULES, ids)
    changes = run(book, "..www..ww....." + ".")
    assert opened(changes) == ["r 12:03"]
    assert book.open is None
    last = [one for one in changes if one is not None][-1]
    assert last.resolved_at == START + 14 * MINUTE
    assert last.last_window == START + 8 * MINUTE
    assert last.details["metrics"]["revenue"]["minutes"] == 4


def test_a_warning_soon_after_the_end_opens_none_and_a_critical_one_does() -> None:
    assert opened(run(IncidentBook("r", RULES, ids), "c.....ww.....")) == ["r 12:00"]
    assert opened(run(IncidentBook("r", RULES, ids), "c.....c......")) == ["r 12:00", "r 12:06"]
    assert opened(run(IncidentBook("r", RULES, ids), "c" + "." * 15 + "ww")) == ["r 12:00", "r 12:17"]


def test_one_warning_of_one_metric_alone_opens_nothing() -> None:
    assert opened(run(IncidentBook("r", RULES, ids), "..w...w...w")) == []
    assert opened(run(IncidentBook("r", RULES, ids), "..w.w")) == ["r 12:04"]


def test_severity_rises_and_never_falls() -> None:
    book = IncidentBook("r", RULES, ids)
    run(book, "wwcw")
    assert book.open is not None
    assert book.open.severity is Severity.CRITICAL
    assert book.open.details["raised_at"] == (START + 2 * MINUTE).isoformat()


def test_metrics_that_alarm_together_are_one_incident_named_after_the_worst() -> None:
    book = IncidentBook("r", RULES, ids)
    verdicts = {"revenue": verdict(Severity.WARN, 4.0), "events_total": verdict(Severity.CRITICAL, -9.0)}
    incident = book.minute(START, verdicts, 3.0)
    assert incident is not None
    assert incident.metric == "events_total"
    assert sorted(incident.details["metrics"]) == ["events_total", "revenue"]
    told = incident.details["metrics"]["revenue"]["first"]
    assert (told["value"], told["baseline"], told["lower"], told["inputs"]) == (10.0, 50.0, 40.0, {"n": 3})


def test_silence_alarms_after_five_empty_minutes_and_ends_with_events() -> None:
    book = IncidentBook("r", RULES, ids)
    changes = run(book, "..00000000......")
    assert [one is not None for one in changes[:7]] == [False] * 6 + [True]
    first = next(one for one in changes if one is not None)
    assert (first.rule, first.window_start, first.severity) == (
        NO_EVENTS_RULE,
        START + 2 * MINUTE,
        Severity.CRITICAL,
    )
    assert first.details["no_events"]["minutes"] == 8
    assert book.open is None


def test_silence_joins_the_incident_that_is_open() -> None:
    changes = run(IncidentBook("r", RULES, ids), "..c0000000")
    assert opened(changes) == ["r 12:02"]
    last = changes[-1]
    assert last is not None
    assert last.severity is Severity.CRITICAL
    assert last.details["no_events"]["minutes"] == 7


def test_a_shop_that_never_had_an_event_is_not_silent() -> None:
    assert opened(run(IncidentBook("r", RULES, ids), "0" * 30)) == []


def test_few_empty_minutes_of_a_shop_that_hardly_sells_are_no_silence() -> None:
    book = IncidentBook("r", RULES, ids)
    seldom = Verdict(0.0, 0.2, 0.0, 3.0, 0.1, 0.0, Severity.NONE, "ordinary")
    book.minute(START, {"events_total": seldom}, 1.0)
    changes = [book.minute(START + n * MINUTE, {"events_total": seldom}, 0.0) for n in range(1, 30)]
    assert opened(changes) == []


def test_a_book_kept_as_json_goes_on() -> None:
    book = IncidentBook("r", RULES, ids)
    run(book, "..wcw.")
    again = IncidentBook.from_state(json.loads(json.dumps(book.state())), "r", RULES, ids)
    assert again.state() == book.state()
    assert again.open == book.open
