"""The webhook: off by default, signed, tried again, never lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.serving.webhook import deliver, enqueue, signature
from ecom_lakehouse.settings import LOCALHOST, Settings


@dataclass
class Receiver:
    """What came, and what is answered."""

    port: int = 0
    status: int = 200
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [json.loads(payload)["text"] for _, payload in self.messages]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A real HTTP server that keeps what it is sent."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.messages.append((dict(self.headers), payload))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer((LOCALHOST, 0), Handler)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def towards(settings: Settings, receiver: Receiver, **changes: Any) -> Settings:
    return settings.model_copy(
        update={
            "webhook_url": f"http://{LOCALHOST}:{receiver.port}/hook",
            "webhook_secret": "s3cret",
            **changes,
        }
    )


def say(settings: Settings, text: str, key: str | None = None) -> None:
    with connect(settings) as connection:
        enqueue(connection, "anomaly", "alert-1", text, {"severity": "warn"}, key=key)


def due_now(settings: Settings) -> None:
    with connect(settings) as connection:
        connection.execute("update serving.outbox set next_attempt_at = now()")


def outbox(settings: Settings) -> list[dict[str, Any]]:
    with connect(settings) as connection:
        return connection.execute("select * from serving.outbox order by message_id").fetchall()


def test_it_is_off_by_default_and_what_is_old_is_never_sent_later(
    settings: Settings, receiver: Receiver
) -> None:
    say(settings, "early")
    assert deliver(settings).delivered == 0
    with connect(settings) as connection:
        connection.execute("update serving.outbox set created_at = now() - interval '2 hours'")
    deliver(settings)
    assert outbox(settings) == []
    assert deliver(towards(settings, receiver)).delivered == 0


def test_messages_go_out_in_order_once_and_carry_slacks_text(settings: Settings, receiver: Receiver) -> None:
    on = towards(settings, receiver)
    say(on, "first")
    say(on, "second")
    assert deliver(on).delivered == 2
    assert deliver(on).delivered == 0
    assert receiver.texts == ["first", "second"]
    body = json.loads(receiver.messages[0][1])
    assert (body["kind"], body["subject"], body["severity"]) == ("anomaly", "alert-1", "warn")


def test_the_signature_is_over_time_and_body(settings: Settings, receiver: Receiver) -> None:
    on = towards(settings, receiver)
    say(on, "signed")
    deliver(on)
    headers, payload = receiver.messages[0]
    timestamp = int(headers["X-Lakehouse-Timestamp"])
    assert headers["X-Lakehouse-Signature"] == signature("s3cret", timestamp, payload)
    assert headers["X-Lakehouse-Signature"] != signature("s3cret", timestamp + 1, payload)
    assert headers["X-Lakehouse-Signature"] != signature("other", timestamp, payload)


def test_a_failing_receiver_loses_nothing(settings: Settings, receiver: Receiver) -> None:
    on = towards(settings, receiver)
    receiver.status = 503
    say(on, "kept")
    assert deliver(on).failed == 1
    assert deliver(on).failed == 0  # it waits before the next try
    (row,) = outbox(on)
    assert (row["attempts"], row["last_error"]) == (1, "answered 503")
    assert 8 < (row["next_attempt_at"] - row["created_at"]).total_seconds() < 30
    receiver.status = 200
    due_now(on)
    assert deliver(on).delivered == 1
    assert receiver.texts == ["kept", "kept"]


def test_a_receiver_that_is_not_there_is_tried_until_it_is_given_up_and_the_message_kept(
    settings: Settings, receiver: Receiver
) -> None:
    on = towards(settings, receiver, webhook_max_attempts=3, webhook_url=f"http://{LOCALHOST}:9/")
    say(on, "nobody")
    outcomes = []
    for _ in range(3):
        outcomes.append(deliver(on))
        due_now(on)
    assert [(one.failed, one.given_up) for one in outcomes] == [(1, 0), (1, 0), (0, 1)]
    (row,) = outbox(on)
    assert row["given_up_at"] is not None
    assert "Connect" in row["last_error"]
    assert deliver(on).failed == 0


def test_one_message_that_fails_does_not_hold_up_the_others(settings: Settings, receiver: Receiver) -> None:
    on = towards(settings, receiver)
    receiver.status = 500
    say(on, "broken")
    deliver(on)
    receiver.status = 200
    say(on, "fine")
    assert deliver(on).delivered == 1
    assert receiver.texts[-1] == "fine"


def test_a_key_is_told_once_and_only_if_the_transaction_commits(
    settings: Settings, receiver: Receiver
) -> None:
    on = towards(settings, receiver)
    say(on, "once", key="alert-1:opened")
    say(on, "twice", key="alert-1:opened")
    with connect(on) as connection:
        enqueue(connection, "anomaly", "alert-2", "never", {}, key="alert-2:opened")
        connection.rollback()
    assert deliver(on).delivered == 1
    assert receiver.texts == ["once"]
