"""The page's address: it holds what was chosen, so that a view can be shared, kept, and opened again.

`?metric=revenue&last=7d&tz=utc`, or `&from=2026-01-31T12:00:00Z&to=…` for a range that stays. What was not
chosen is left out. The session's state leads; the address is read once, when a session begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ecom_lakehouse.core.kpis import METRIC_NAMES
from ecom_lakehouse.serving.dashboard.windows import DEFAULT_LOOKBACK, LOOKBACKS, Window, pinned_window

REFRESH_SECONDS = {"5s": 5, "10s": 10, "30s": 30, "1m": 60, "5m": 300}
SEVERITIES = {"critical": "Critical", "warn": "Warning"}
PINNED = "pinned"
_READ = "address_read"


@dataclass(frozen=True)
class Choice:
    """One choice: its default, and how it is written; `read` gives None for what is not allowed."""

    default: Any
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def _one_of(allowed: Mapping[str, Any] | tuple[str, ...]) -> Callable[[str], str | None]:
    return lambda text: text if text in allowed else None


def _severities(text: str) -> list[str] | None:
    named = [name for name in text.split(",") if name]
    return named if set(named) <= set(SEVERITIES) else None


CHOICES: Mapping[str, Choice] = {
    "metric": Choice("events_total", _one_of(METRIC_NAMES)),
    "last": Choice(DEFAULT_LOOKBACK, _one_of(LOOKBACKS)),
    "every": Choice("10s", _one_of(REFRESH_SECONDS)),
    "pause": Choice(False, {"1": True, "0": False}.get, lambda value: str(int(value))),
    "severity": Choice(list(SEVERITIES), _severities, ",".join),
    "tz": Choice("local", _one_of(("local", "utc"))),
}


def read(address: Mapping[str, str], state: MutableMapping[Any, Any]) -> str | None:
    """Puts into a new session's state what its address says; gives what was wrong with it, if anything was.

    In a session that has begun it only fills in what is missing.
    """
    begun, problems = state.get(_READ, False), []
    for name, choice in CHOICES.items():
        value = choice.default
        if not begun and name in address:
            given = choice.read(address[name])
            if given is None:
                problems.append(f"{name}={address[name]}")
            else:
                value = given
        state.setdefault(name, value)
    if not begun:
        state[_READ] = True
        try:
            state[PINNED] = _range(address)
        except ValueError as error:
            state[PINNED] = None
            problems.append(f"from and to ({error})")
    return (
        f"The address says something that this page doesn't know: {', '.join(problems)}."
        if problems
        else None
    )


def written(state: Mapping[Any, Any]) -> dict[str, str]:
    """The address of a session's choices, defaults left out."""
    address = {
        name: choice.write(state[name])
        for name, choice in CHOICES.items()
        if state.get(name) is not None and state[name] != choice.default
    }
    pinned: Window | None = state.get(PINNED)
    if pinned:
        address |= {"from": _text(pinned.start), "to": _text(pinned.end)}
    return address


def _range(address: Mapping[str, str]) -> Window | None:
    if "from" not in address and "to" not in address:
        return None
    start, end = (datetime.fromisoformat(address.get(name, "")) for name in ("from", "to"))
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("a time needs an offset, as in 2026-01-31T12:00:00Z")
    return pinned_window(start.astimezone(UTC), end.astimezone(UTC))


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
