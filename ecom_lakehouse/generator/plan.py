"""What a scenario run is to make: which shop, which faults, from when to when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ecom_lakehouse.core.scenarios import DURATIONS, Kind, Scenario, scenario
from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.generator.pace import Arrival, arrivals
from ecom_lakehouse.settings import GeneratorSettings

ROOM = 2  # a live scenario lasts twice as long as its faults may


@dataclass(frozen=True)
class Span:
    """A stretch of the past, from `start` until before `end`, in whole minutes of UTC."""

    start: datetime
    end: datetime

    @classmethod
    def of(
        cls,
        now: datetime,
        *,
        historical_days: float | None,
        since: datetime | None,
        until: datetime | None,
    ) -> Span | None:
        """The stretch that the options ask for; None where they ask for none: live.

        Raises:
            SettingsError: the options contradict each other, or the stretch is empty or not past.
        """
        if historical_days is None and since is None:
            if until is not None:
                raise SettingsError("--to ends a past that has no beginning: give --from or --historical too")
            return None
        if historical_days is not None and since is not None:
            raise SettingsError("--historical and --from both say where the past begins: give one of them")
        end = until or now
        start = since or end - timedelta(days=historical_days or 0)
        if not start < end <= now:
            raise SettingsError(
                f"the past from {start:%Y-%m-%dT%H:%M}Z to {end:%Y-%m-%dT%H:%M}Z must begin before it ends "
                f"and end by now ({now:%Y-%m-%dT%H:%M}Z)"
            )
        return cls(_whole_minute(start), _whole_minute(end))


@dataclass(frozen=True)
class Plan:
    """A scenario and the time over which its events are to be made."""

    scenario: Scenario
    start: datetime
    end: datetime | None
    seed: int

    def arrivals(self) -> Iterator[Arrival]:
        """Its events, in order of time; without end where it is live."""
        return arrivals(self.scenario, self.start, self.end, self.seed)

    def faults(self) -> list[str]:
        """What is put in and when, a line each for a person."""
        return [
            f"{one.kind}: {one.start:%Y-%m-%d %H:%M} to {one.end:%H:%M} UTC, × {one.magnitude:g} on "
            f"{', '.join(one.event_types)}"
            for one in self.scenario.truth()
        ]

    def truth_lines(self) -> str:
        """The same as JSON lines."""
        return "".join(json.dumps(one.as_json()) + "\n" for one in self.scenario.truth())


def plan(
    name: str,
    generator: GeneratorSettings,
    span: Span | None,
    *,
    each: int,
    lead: timedelta,
    lasts: timedelta | None,
) -> Plan:
    """The plan for a past (`span`), or from now on, with the faults within `lasts` after `lead`.

    Raises:
        SettingsError: the scenario is unknown, the rate is 0, or the faults don't fit in.
    """
    if generator.events_per_sec == 0:
        raise SettingsError("EVENTS_PER_SEC=0 is no rate for a scenario: give the mean over a week")
    now = datetime.now(UTC)
    start = span.start if span else _whole_minute(now)
    end = span.end if span else start + lead + (lasts or _room(name, each))
    try:
        shop = scenario(
            name,
            seed=generator.seed,
            start=start,
            end=end,
            events_per_second=generator.events_per_sec,
            each=each,
            lead=lead,
        )
    except ValueError as error:
        raise SettingsError(f"--scenario: {error}") from None
    return Plan(shop, span.start if span else now, span.end if span else None, generator.seed)


def _room(name: str, each: int) -> timedelta:
    """As long as the faults may last, and as long again. Every one of `mixed` gets the longest's room."""
    longest = max((to for kind, (_, to) in DURATIONS.items() if name in (kind.value, "mixed")), default=60.0)
    return timedelta(minutes=ROOM * longest * each * (len(Kind) if name == "mixed" else 1))


def _whole_minute(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)
