"""A run of the generator: from waiting for Kafka to the summary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event as Stop
from typing import Any

from ecom_lakehouse.generator.pace import CATCH_UP_SECONDS, Arrival, Pace
from ecom_lakehouse.generator.sink import KafkaSink, Say
from ecom_lakehouse.generator.stream import EventStream
from ecom_lakehouse.generator.tally import Tally
from ecom_lakehouse.settings import GeneratorSettings, Settings

TICK_SECONDS = 0.01  # at high rates events go out in groups, a hundred times a second
CLOCK_EVERY = 100  # events between two looks at the clock when making all it can
LOG_GAP_SECONDS = 1.0


@dataclass(frozen=True)
class Summary:
    """What a run made and what Kafka confirmed of it."""

    tally: Tally
    delivered: int
    failed: int
    unconfirmed: int
    first_error: str | None
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Confirmed messages a second, from the first event to the last confirmation."""
        return self.delivered / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Everything by name."""
        return {
            **self.tally.as_json(),
            "delivered": self.delivered,
            "delivery_errors": self.failed + self.unconfirmed,
            "first_error": self.first_error,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.events_per_second, 1),
        }

    def text(self) -> str:
        """The summary for a person."""
        tally = self.tally
        broken = ", ".join(
            f"{count:,} {fault.value.replace('_', ' ')}" for fault, count in tally.invalid.items()
        )
        lines = [
            f"{tally.sent:,} sent in {self.seconds:,.1f} s ({self.events_per_second:,.0f} events/s confirmed)",
            f"  unique valid    {tally.valid:,}",
            f"  duplicates      {tally.duplicates:,}",
            f"  invalid         {sum(tally.invalid.values()):,} ({broken})",
            f"  late            {tally.late:,} (valid or not)",
            f"  delivery errors {self.failed + self.unconfirmed:,}",
        ]
        if self.unconfirmed:
            lines.append(
                f"  {self.unconfirmed:,} of them unconfirmed when it stopped: Kafka may hold them or not"
            )
        if self.first_error:
            lines.append(f"  the first error: {self.first_error}")
        return "\n".join(lines)


class Run:
    """One run: makes events in one of three ways until `stop` is set or enough are made, and sums up.

    However it ends, `finish` delivers what is queued and gives the summary.
    """

    def __init__(self, settings: Settings, generator: GeneratorSettings, say: Say, stop: Stop) -> None:
        self._generator = generator
        self._say = say
        self._stop = stop
        self._stream = EventStream(generator)
        self._sink = KafkaSink(settings, say, stop)
        self._started_at = self._logged_at = time.monotonic()
        self._log_due = generator.log_every

    def wait_for_kafka(self) -> None:
        """Waits until there is a topic to write to."""
        self._sink.wait()
        self._started_at = self._logged_at = time.monotonic()

    def steady(self) -> None:
        """Events at the set rate, evenly spaced; as many as it can where the rate is 0."""
        if self._generator.events_per_sec == 0:
            self._all_it_can()
            return
        pace = Pace(self._generator.events_per_sec, time.monotonic())
        while (left := self._left()) != 0:
            due = pace.due(time.monotonic())
            for _ in range(due if left is None else min(due, left)):
                self._send(_now_ms())
            pace.take(due)
            self._tick()
            self._stop.wait(max(pace.next_at() - time.monotonic(), TICK_SECONDS if due > 1 else 0.0))

    def live(self, visits: Iterator[Arrival]) -> None:
        """A scenario's events, each when it happens; those missed while the machine slept are let go."""
        for visit in visits:
            while (early := visit.at - time.time()) > 0 and not self._stop.is_set():
                self._stop.wait(min(early, 1.0))
                self._tick()
            if self._left() == 0:
                return
            if early > -CATCH_UP_SECONDS:
                self._send(_now_ms(), event_type=visit.event_type)

    def historical(self, visits: Iterator[Arrival]) -> None:
        """A scenario's past as fast as it can: event_time as it was, ingest_time as it is."""
        for count, visit in enumerate(visits):
            if count % CLOCK_EVERY == 0:
                now_ms = _now_ms()
                self._tick()
            if self._left() == 0:
                return
            self._send(now_ms, int(visit.at * 1000), visit.event_type)

    def finish(self) -> Summary:
        """Delivers what is queued, and says what was made and what of it arrived."""
        unconfirmed = self._sink.flush()
        return Summary(
            tally=self._stream.tally,
            delivered=self._sink.delivered,
            failed=self._sink.failed,
            unconfirmed=unconfirmed,
            first_error=self._sink.first_error,
            seconds=time.monotonic() - self._started_at,
        )

    def _all_it_can(self) -> None:
        while (left := self._left()) != 0:
            now_ms = _now_ms()
            for _ in range(CLOCK_EVERY if left is None else min(CLOCK_EVERY, left)):
                self._send(now_ms)
            self._tick()

    def _send(self, now_ms: int, event_ms: int | None = None, event_type: str | None = None) -> None:
        self._sink.send(*self._stream.message(now_ms, event_ms, event_type))

    def _left(self) -> int | None:
        """How many messages may still be made; None is without end."""
        if self._stop.is_set():
            return 0
        if not self._generator.max_events:
            return None
        return self._generator.max_events - self._stream.tally.sent

    def _tick(self) -> None:
        self._sink.poll()
        sent, now = self._stream.tally.sent, time.monotonic()
        if not self._log_due or sent < self._log_due or now - self._logged_at < LOG_GAP_SECONDS:
            return
        every = self._generator.log_every
        self._log_due = sent - sent % every + every
        self._logged_at = now
        rate = sent / (now - self._started_at)
        self._say(f"{sent:,} sent, {self._sink.delivered:,} confirmed, {rate:,.1f} events/s")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
