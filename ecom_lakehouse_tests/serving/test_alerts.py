"""The scorer over a real Postgres: position, re-scoring, two at once, the life of an alert."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from ecom_lakehouse.core.detection import Severity
from ecom_lakehouse.core.detection.incidents import Incident
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.serving import detector_store
from ecom_lakehouse.serving.alert_store import KnownAlerts, reason
from ecom_lakehouse.serving.alerts import Scoring, score_closed_minutes
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.serving.gold import MINUTE, alerts_of, reached, scores_of, usual_minutes, write_gold

START = datetime(2026, 1, 31, 8, tzinfo=UTC)
HISTORY = 240
FALL = START + HISTORY * MINUTE
GRACE = timedelta(seconds=5)


def closed(settings: Settings, before: datetime) -> None:
    """Closes every minute before this one."""
    reached(settings, before + GRACE)


def score_all(settings: Settings) -> list[Scoring]:
    """Calls until nothing is left."""
    done = []
    while True:
        scoring = score_closed_minutes(settings)
        if scoring.idle is not None:
            return done
        done.append(scoring)


def stored(settings: Settings) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return [
            (row["metric"], row["window_start"], row["value"], row["score"], row["severity"])
            for row in scores_of(connection)
        ]


def told(settings: Settings) -> list[str]:
    """The events of all messages on KPIs, in order."""
    with connect(settings) as connection:
        rows = connection.execute(
            "select body ->> 'event' as event from serving.outbox where kind = 'anomaly' order by message_id"
        ).fetchall()
    return [row["event"] for row in rows]


@pytest.fixture
def taught(settings: Settings) -> Settings:
    """Four ordinary hours, all scored."""
    write_gold(settings, usual_minutes(START, HISTORY))
    closed(settings, FALL)
    score_all(settings)
    assert alerts_of(settings) == []
    return settings


def without_purchases(count: int, seed: int = 2) -> dict[datetime, dict[str, int]]:
    minutes = usual_minutes(FALL, count, seed)
    for counts in minutes.values():
        counts["purchase"] = 0
    return minutes


def test_every_closed_minute_is_scored_once_whatever_ticks_were_missed(settings: Settings) -> None:
    write_gold(settings, usual_minutes(START, 60))
    closed(settings, START + 20 * MINUTE)
    first = score_closed_minutes(settings)
    assert (first.minutes, first.next_minute) == (20, START + 20 * MINUTE)
    closed(settings, START + 50 * MINUTE)
    assert score_closed_minutes(settings).minutes == 30
    again = score_closed_minutes(settings)
    assert again.minutes == 0
    assert again.idle is not None
    rows = stored(settings)
    assert len(rows) == 50 * len(settings.detector_metrics)
    assert len({(metric, minute) for metric, minute, *_ in rows}) == len(rows)


def test_nothing_is_scored_before_a_minute_is_closed(settings: Settings) -> None:
    assert score_closed_minutes(settings).idle == "No minute is closed yet."
    closed(settings, START)
    assert score_closed_minutes(settings).idle == "Gold holds no minute yet."
    write_gold(settings, usual_minutes(START, 5))
    reached(settings, START + MINUTE + GRACE - timedelta(milliseconds=1))
    assert score_closed_minutes(settings).idle is not None
    reached(settings, START + MINUTE + GRACE)
    assert score_closed_minutes(settings).minutes == 1


def test_the_way_the_minutes_were_cut_into_calls_changes_no_verdict(settings: Settings) -> None:
    write_gold(settings, {**usual_minutes(START, HISTORY), **without_purchases(20)})
    closed(settings, FALL + 20 * MINUTE)
    score_all(settings)
    at_once, alerts = stored(settings), alerts_of(settings)
    with connect(settings) as connection:
        connection.execute("truncate serving.detector_position cascade")
        connection.execute("truncate serving.alerts")
    score_all(settings.model_copy(update={"detector_minutes_per_tick": 7}))
    for one, other in zip(at_once, stored(settings), strict=True):
        assert one[:3] == other[:3]
        assert one[3] == pytest.approx(other[3], abs=1e-6)
    assert [row["alert_id"] for row in alerts_of(settings)] == [row["alert_id"] for row in alerts]


def test_work_is_bounded_a_call_and_goes_on_in_the_next(settings: Settings) -> None:
    write_gold(settings, usual_minutes(START, 30))
    closed(settings, START + 30 * MINUTE)
    bounded = settings.model_copy(update={"detector_minutes_per_tick": 12})
    calls = score_all(bounded)
    assert [(one.minutes, one.minutes_left) for one in calls] == [(12, 18), (12, 6), (6, 0)]


def test_an_incident_opens_within_a_minute_of_the_fall_and_resolves_when_it_is_over(taught: Settings) -> None:
    write_gold(taught, without_purchases(8))
    for number in range(1, 3):
        closed(taught, FALL + number * MINUTE)
        score_closed_minutes(taught)
    (alert,) = alerts_of(taught)
    assert (alert["state"], alert["severity"]) == ("open", "critical")
    assert alert["window_start"] == FALL
    details: Any = alert["details"]
    assert set(details["metrics"]) == {"events_purchase", "revenue", "purchase_conversion"}
    worst = details["metrics"]["events_purchase"]["worst"]
    assert {"value", "baseline", "lower", "upper", "z", "inputs", "window_start"} <= set(worst)
    assert worst["inputs"]["parameters"]["warn_surprise"] == taught.detector_warn_surprise
    assert "expected" in details["reason"]

    write_gold(taught, usual_minutes(FALL + 8 * MINUTE, 40, seed=5))
    closed(taught, FALL + 48 * MINUTE)
    score_all(taught)
    (alert,) = alerts_of(taught)
    assert alert["state"] == "resolved"
    assert FALL + 8 * MINUTE < alert["resolved_at"] < FALL + 48 * MINUTE


def test_late_data_that_takes_the_reason_away_retracts_the_alert_and_keeps_it(taught: Settings) -> None:
    write_gold(taught, without_purchases(3))
    closed(taught, FALL + 3 * MINUTE)
    score_all(taught)
    (before,) = alerts_of(taught)

    write_gold(taught, usual_minutes(FALL, 3, seed=9))
    (again,) = score_all(taught)
    assert (again.minutes, again.minutes_again, again.alerts) == (0, 3, {"retracted": 1})
    (alert,) = alerts_of(taught)
    assert (alert["alert_id"], alert["state"]) == (before["alert_id"], "retracted")
    assert alert["retracted_at"] is not None
    assert score_closed_minutes(taught).idle is not None


def test_a_minute_that_changed_is_judged_by_its_new_value_and_what_follows_too(taught: Settings) -> None:
    write_gold(taught, usual_minutes(FALL, 5, seed=9))
    closed(taught, FALL + 5 * MINUTE)
    score_all(taught)
    write_gold(
        taught, {FALL + 2 * MINUTE: {"click": 4000, "add_to_cart": 180, "checkout": 70, "purchase": 30}}
    )
    (again,) = score_all(taught)
    assert again.minutes_again == 5  # from the snapshot before it
    (alert,) = alerts_of(taught)
    details: Any = alert["details"]
    assert alert["window_start"] == FALL + 2 * MINUTE
    assert "events_total" in details["metrics"]
    with connect(taught) as connection:
        rows = [row for row in scores_of(connection) if row["window_start"] >= FALL + 2 * MINUTE]
    assert {row["times"] for row in rows} == {2}


def test_an_incident_whose_start_moves_with_late_data_stays_one_alert(taught: Settings) -> None:
    write_gold(taught, without_purchases(10))
    closed(taught, FALL + 10 * MINUTE)
    score_all(taught)
    (before,) = alerts_of(taught)
    write_gold(taught, usual_minutes(FALL, 4, seed=9))
    score_all(taught)
    (after,) = alerts_of(taught)
    assert after["alert_id"] == before["alert_id"]
    assert (before["window_start"], after["window_start"]) == (FALL, FALL + 4 * MINUTE)
    assert after["state"] == "open"


def test_what_changed_further_back_than_the_setting_is_left_as_it_was_judged(taught: Settings) -> None:
    shallow = taught.model_copy(update={"detector_rescore_minutes": 60})
    write_gold(taught, {FALL - 61 * MINUTE: {"click": 9000}})
    assert score_closed_minutes(shallow).idle is not None
    write_gold(taught, {FALL - 59 * MINUTE: {"click": 9000}})
    assert score_closed_minutes(shallow).minutes_again >= 59


def test_a_history_loaded_after_its_minutes_were_judged_empty_is_learned_after_all(
    settings: Settings,
) -> None:
    end = START + 400 * MINUTE
    write_gold(settings, usual_minutes(START, 5))
    closed(settings, end)
    score_all(settings)
    (silence,) = alerts_of(settings)
    assert silence["rule_name"] == "no_events_v1"
    write_gold(settings, usual_minutes(START - 200 * MINUTE, 600))
    assert sum(one.minutes for one in score_all(settings)) >= 600
    assert [row["state"] for row in alerts_of(settings)] == ["retracted"]
    fall = usual_minutes(end, 2)
    for counts in fall.values():
        counts["purchase"] = 0
    write_gold(settings, fall)
    closed(settings, end + 2 * MINUTE)
    score_all(settings)
    assert [row["state"] for row in alerts_of(settings)] == ["retracted", "open"]


def test_scattered_late_events_are_no_history(taught: Settings) -> None:
    bounded = taught.model_copy(update={"detector_rescore_minutes": 30})
    write_gold(taught, {START + number * 5 * MINUTE: {"click": 900, "purchase": 9} for number in range(40)})
    assert score_closed_minutes(bounded).idle is not None


def test_late_events_in_the_empty_minutes_of_a_night_are_no_history(taught: Settings) -> None:
    closed(taught, FALL + 600 * MINUTE)
    score_all(taught)
    write_gold(taught, {FALL + number * 10 * MINUTE: {"click": 1} for number in range(40)})
    assert score_closed_minutes(taught).idle is not None


def test_alerts_that_are_not_judged_again_yet_are_left_alone(settings: Settings) -> None:
    """A history that comes late is judged in several calls; a later alert waits for its own."""
    end = START + 400 * MINUTE
    write_gold(settings, usual_minutes(START + 200 * MINUTE, 200))
    fall = usual_minutes(end, 3)
    for counts in fall.values():
        counts["purchase"] = 0
    write_gold(settings, fall)
    closed(settings, end + 3 * MINUTE)
    score_all(settings)
    (before,) = alerts_of(settings)
    write_gold(settings, usual_minutes(START - 200 * MINUTE, 400))
    shallow = settings.model_copy(update={"detector_minutes_per_tick": 100})
    assert score_closed_minutes(shallow).alerts == {}
    (meanwhile,) = alerts_of(settings)
    assert (meanwhile["alert_id"], meanwhile["state"]) == (before["alert_id"], "open")
    score_all(settings)
    (after,) = alerts_of(settings)
    assert (after["alert_id"], after["state"]) == (before["alert_id"], "open")


def test_an_alert_that_opens_again_after_it_was_retracted_is_told_again(settings: Settings) -> None:
    recent = datetime.now(UTC).replace(second=0, microsecond=0) - 20 * MINUTE
    write_gold(settings, usual_minutes(recent - 200 * MINUTE, 200))
    for seed in (1, 2):
        write_gold(settings, {recent: {"click": 720, "add_to_cart": 180, "checkout": 70, "purchase": 0}})
        closed(settings, recent + MINUTE)
        score_all(settings)
        write_gold(settings, usual_minutes(recent, 1, seed))
        score_all(settings)
    assert told(settings) == ["opened", "retracted"] * 2


def test_a_silence_that_late_data_cuts_in_two_stays_one_alert_and_ends(settings: Settings) -> None:
    quiet = settings.model_copy(update={"detector_metrics": ("checkout_rate",)})  # silence alone alarms
    write_gold(quiet, usual_minutes(START, 32))
    closed(quiet, START + 37 * MINUTE)
    score_all(quiet)
    (before,) = alerts_of(quiet)
    assert (before["rule_name"], before["window_start"]) == ("no_events_v1", START + 32 * MINUTE)
    write_gold(
        quiet, usual_minutes(START + 35 * MINUTE, 1)
    )  # judged again from a snapshot within the silence
    closed(quiet, START + 42 * MINUTE)
    score_all(quiet)
    (after,) = alerts_of(quiet)
    assert (after["alert_id"], after["state"]) == (before["alert_id"], "open")
    write_gold(quiet, usual_minutes(START + 42 * MINUTE, 20, seed=3))
    closed(quiet, START + 62 * MINUTE)
    score_all(quiet)
    assert [row["state"] for row in alerts_of(quiet)] == ["resolved"]


def test_a_stray_old_event_makes_no_history_of_zeros(settings: Settings) -> None:
    write_gold(settings, {START - timedelta(days=9): {"click": 1}, **usual_minutes(START, 60)})
    closed(settings, START + 60 * MINUTE)
    assert [(one.minutes, one.next_minute) for one in score_all(settings)] == [(60, START + 60 * MINUTE)]


def test_a_shop_of_few_minutes_begins_after_its_last_long_gap(settings: Settings) -> None:
    write_gold(settings, {START - timedelta(days=9): {"click": 1}, **usual_minutes(START, 2)})
    closed(settings, START + 2 * MINUTE)
    assert [one.minutes for one in score_all(settings)] == [2]


def test_a_rebuilt_hour_with_the_same_values_makes_no_alert_twice(taught: Settings) -> None:
    write_gold(taught, without_purchases(5))
    closed(taught, FALL + 5 * MINUTE)
    score_all(taught)
    with connect(taught) as connection:
        kept = connection.execute("select * from serving.kpi_minute").fetchall()
        connection.execute("delete from serving.kpi_minute where window_start >= %s", (FALL - 30 * MINUTE,))
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into serving.kpi_minute (window_start, metric, value) values (%s, %s, %s)"
                " on conflict do nothing",
                [(row["window_start"], row["metric"], row["value"]) for row in kept],
            )
    assert score_closed_minutes(taught).idle is not None
    assert len(alerts_of(taught)) == 1


def test_two_detectors_at_once_make_one_alert(taught: Settings) -> None:
    write_gold(taught, without_purchases(5))
    closed(taught, FALL + 5 * MINUTE)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(score_closed_minutes, taught) for _ in range(8)]
        scorings = [one.result() for one in calls]
    score_all(taught)
    assert sum(one.minutes for one in scorings) in (0, 5)
    assert len(alerts_of(taught)) == 1
    with connect(taught) as connection:
        assert {row["times"] for row in scores_of(connection)} == {1}


def test_a_detector_whose_turn_it_is_not_says_so(taught: Settings) -> None:
    with connect(taught) as connection, connection.transaction():
        assert detector_store.take_lock(connection)
        assert score_closed_minutes(taught).idle == "Another detector is at work; it scores what there is."


def test_closed_minutes_without_events_alarm_as_silence(taught: Settings) -> None:
    closed(taught, FALL + 8 * MINUTE)
    score_all(taught)
    (alert,) = alerts_of(taught)
    details: Any = alert["details"]
    assert details["no_events"]["minutes"] == 8
    assert "no events for 8 minutes" in details["reason"]
    assert alert["severity"] == "critical"
    write_gold(taught, usual_minutes(FALL + 8 * MINUTE, 30, seed=4))
    closed(taught, FALL + 38 * MINUTE)
    score_all(taught)
    assert [row["state"] for row in alerts_of(taught)] == ["resolved"]


def test_a_late_pipeline_is_no_silence_and_alarms_by_itself(taught: Settings) -> None:
    now = datetime.now(UTC)
    reached(taught, now - timedelta(seconds=taught.alert_late_seconds + 30))
    first = score_closed_minutes(taught)
    assert first.pipeline is None  # nobody had looked for long: it gets time to catch up
    with connect(taught) as connection:
        connection.execute("update serving.pipeline_watch set watching_since = now() - interval '1 hour'")
    said = score_closed_minutes(taught).pipeline
    assert said is not None
    assert "the pipeline is late" in said
    late = [row for row in alerts_of(taught) if row["rule_name"] == "pipeline_late_v1"]
    assert [(row["metric"], row["state"]) for row in late] == [("pipeline_age_seconds", "open")]

    reached(taught, now - timedelta(seconds=taught.alert_late_seconds + 10))
    score_closed_minutes(taught)
    reached(taught, datetime.now(UTC))
    score_closed_minutes(taught)
    late = [row for row in alerts_of(taught) if row["rule_name"] == "pipeline_late_v1"]
    assert [row["state"] for row in late] == ["resolved"]


def test_a_paused_pipeline_is_not_late(taught: Settings) -> None:
    with connect(taught) as connection:
        connection.execute("update serving.pipeline_watch set watching_since = now() - interval '1 hour'")
        connection.execute("update lake.looks set paused_by = 'person'")
    assert score_closed_minutes(taught).pipeline is None


def test_a_new_rule_learns_from_the_past_and_alarms_about_the_future_only(taught: Settings) -> None:
    write_gold(taught, without_purchases(5))
    closed(taught, FALL + 5 * MINUTE)
    score_all(taught)
    (before,) = alerts_of(taught)
    other = taught.model_copy(update={"detector_rule": "ewma_zscore_v1"})
    score_all(other)
    (after,) = alerts_of(taught)
    assert (after["alert_id"], after["state"]) == (before["alert_id"], "open")
    with connect(taught) as connection:
        (position,) = connection.execute("select * from serving.detector_position").fetchall()
    assert (position["rule_name"], position["first_minute"]) == ("ewma_zscore_v1", START)


def test_an_incident_goes_on_as_the_same_alert_when_the_detectors_settings_change(taught: Settings) -> None:
    write_gold(taught, without_purchases(15))
    closed(taught, FALL + 5 * MINUTE)
    score_all(taught)
    (before,) = alerts_of(taught)
    other = taught.model_copy(update={"detector_warn_surprise": 3.5, "alert_resolve_minutes": 12})
    score_all(other)
    closed(taught, FALL + 15 * MINUTE)
    score_all(other)
    (meanwhile,) = alerts_of(taught)
    assert (meanwhile["alert_id"], meanwhile["state"]) == (before["alert_id"], "open")
    assert meanwhile["last_window"] > before["last_window"]
    write_gold(taught, usual_minutes(FALL + 10 * MINUTE, 1, seed=7))  # judged again, over the change
    score_all(other)
    write_gold(taught, usual_minutes(FALL + 15 * MINUTE, 40, seed=5))
    closed(taught, FALL + 55 * MINUTE)
    score_all(other)
    (after,) = alerts_of(taught)
    assert (after["alert_id"], after["state"]) == (before["alert_id"], "resolved")


def test_an_open_alert_that_changed_settings_do_not_see_is_resolved_and_told(settings: Settings) -> None:
    recent = datetime.now(UTC).replace(second=0, microsecond=0) - 20 * MINUTE
    write_gold(settings, usual_minutes(recent - 200 * MINUTE, 200))
    write_gold(settings, {recent: {"click": 720, "add_to_cart": 180, "checkout": 70, "purchase": 0}})
    closed(settings, recent + MINUTE)
    score_all(settings)
    blind = settings.model_copy(update={"detector_metrics": ("add_to_cart_rate",)})
    score_all(blind)
    assert [row["state"] for row in alerts_of(settings)] == ["resolved"]
    assert told(settings) == ["opened", "resolved"]


def test_a_second_disaster_in_an_open_incident_is_told(settings: Settings) -> None:
    recent = datetime.now(UTC).replace(second=0, microsecond=0) - 20 * MINUTE
    fall = usual_minutes(recent, 12, seed=2)
    for number, counts in enumerate(fall.values()):
        counts["purchase"] = 0
        if number >= 6:
            counts["add_to_cart"] = 0
    write_gold(settings, {**usual_minutes(recent - 200 * MINUTE, 200), **fall})
    for number in range(1, 13):
        closed(settings, recent + number * MINUTE)
        score_all(settings)
    with connect(settings) as connection:
        rows = connection.execute(
            "select text from serving.outbox where body ->> 'event' = 'joined'"
        ).fetchall()
    assert [row["text"] for row in rows if "add_to_cart_rate" in row["text"].split(":")[0]]
    assert len(alerts_of(settings)) == 1
    joined = [event for event in told(settings) if event == "joined"]
    assert len(joined) <= len(settings.detector_metrics)


def test_an_acknowledgement_survives_the_life_of_the_alert(taught: Settings) -> None:
    write_gold(taught, without_purchases(5))
    closed(taught, FALL + 5 * MINUTE)
    score_all(taught)
    with connect(taught) as connection:
        connection.execute("update serving.alerts set acknowledged_at = now(), acknowledged_by = 'ann'")
    write_gold(taught, usual_minutes(FALL + 5 * MINUTE, 30, seed=5))
    closed(taught, FALL + 35 * MINUTE)
    score_all(taught)
    (alert,) = alerts_of(taught)
    assert (alert["state"], alert["acknowledged_by"]) == ("resolved", "ann")


def test_few_clicks_under_a_ratio_keep_it_from_being_judged(settings: Settings) -> None:
    few = {
        minute: {name: count // 18 for name, count in counts.items()}
        for minute, counts in usual_minutes(START, 200).items()
    }
    write_gold(settings, few)
    closed(settings, START + 200 * MINUTE)
    score_all(settings)
    with connect(settings) as connection:
        reasons = connection.execute(
            "select distinct reason from serving.scored_minutes where metric = 'purchase_conversion'"
            " and support < 50"
        ).fetchall()
    assert reasons
    assert all("50 are needed" in row["reason"] for row in reasons)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValidationError, match="revenu is no metric of Gold; there are events_total"):
        Settings(_env_file=None, detector_metrics=("revenu",))


def test_of_several_alerts_nearby_the_nearest_of_the_same_rule_is_the_incident() -> None:
    def row(alert_id: str, rule: str, minutes: int) -> dict[str, Any]:
        return {"alert_id": alert_id, "rule_name": rule, "window_start": START + minutes * MINUTE}

    rows = [row("far", "r", 0), row("other", "no_events_v1", 9), row("near", "r", 8)]
    known = KnownAlerts({one["alert_id"]: one for one in rows}, START, None)
    assert [known.id_for("r", START + 10 * MINUTE) for _ in range(3)] == ["near", "far", "other"]
    assert known.id_for("r", START + 10 * MINUTE) == "r-20260131T0810Z"


def test_a_reason_is_written_in_plain_numbers() -> None:
    incident = Incident("a", "r", START, START, "revenue", 12345.0, 98765.4, 0.9, Severity.CRITICAL)
    assert reason(incident) == "revenue is 12,345 where 98,765 was expected"
    incident = Incident("a", "r", START, START, "aov", 0.0, 41.237, 0.9, Severity.CRITICAL)
    assert reason(incident) == "aov is 0 where 41.24 was expected"
