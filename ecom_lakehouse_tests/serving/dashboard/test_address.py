"""What an address says, and the address of what was chosen."""

from __future__ import annotations

from typing import Any

from ecom_lakehouse.serving.dashboard import address

RANGE = {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T14:00:00Z"}


def test_an_empty_address_gives_defaults_which_are_not_written() -> None:
    state: dict[Any, Any] = {}
    assert address.read({}, state) is None
    assert state["metric"] == "events_total"
    assert state["severity"] == ["critical", "warn"]
    assert address.written(state) == {}


def test_what_was_chosen_is_written_and_read_back() -> None:
    chosen = {
        "metric": "revenue",
        "last": "7d",
        "every": "1m",
        "pause": "1",
        "severity": "warn",
        "tz": "utc",
        **RANGE,
    }
    state: dict[Any, Any] = {}
    assert address.read(chosen, state) is None
    assert address.written(state) == chosen


def test_the_address_is_read_once_and_the_session_leads_after_that() -> None:
    state: dict[Any, Any] = {}
    address.read({"metric": "revenue"}, state)
    state["metric"] = "aov"
    address.read({"metric": "revenue", **RANGE}, state)
    assert address.written(state) == {"metric": "aov"}


def test_what_an_address_says_wrongly_is_named_and_left_at_its_default() -> None:
    state: dict[Any, Any] = {}
    problem = address.read(
        {"metric": "nonsense", "last": "9y", "severity": "loud", "from": "noon", "to": "2026-01-31T12:00:00"},
        state,
    )
    assert problem is not None
    for named in ("metric=nonsense", "last=9y", "severity=loud", "from and to"):
        assert named in problem
    assert address.written(state) == {}
