"""Messages to a webhook: written into an outbox with what they tell of, sent afterwards, tried again."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.settings import Settings

FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 3600.0
MESSAGES_A_CALL = 10
SECONDS_A_CALL = 12.0
KEPT = timedelta(days=7)
NOT_SENT_WHILE_OFF = timedelta(hours=1)


@dataclass(frozen=True)
class Delivery:
    """What one call did: messages delivered, those that failed and wait, those given up."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0


def enqueue(
    connection: psycopg.Connection[DictRow],
    kind: str,
    subject: str,
    text: str,
    body: dict[str, Any],
    key: str | None = None,
) -> None:
    """Puts a message into the outbox, in the caller's transaction: it is sent if that commits.

    `kind` says what it is about (anomaly, failed_check, held_slice, stuck_pipeline), `subject` which one, `text`
    is one line for a person. A message with a `key` that was used before is dropped.
    """
    connection.execute(
        "insert into serving.outbox (dedupe_key, kind, subject, text, body) values (%s, %s, %s, %s, %s)"
        " on conflict (dedupe_key) do nothing",
        (key, kind, subject, text, Jsonb(body)),
    )


def deliver(settings: Settings) -> Delivery:
    """Sends what waits, oldest first, for a few seconds at most; does nothing while no webhook is set.

    A message is sent at least once; its id in `X-Lakehouse-Message-Id` tells a repeated one. One that fails waits
    10 s, then twice as long each time up to an hour, and is given up after `webhook_max_attempts`, but kept.
    """
    with connect(settings, autocommit=True) as connection:
        connection.execute(
            "delete from serving.outbox where created_at < now() - %s"
            " and (delivered_at is not null or given_up_at is not null)",
            (KEPT,),
        )
        if not settings.webhook_url:
            connection.execute(
                "delete from serving.outbox where delivered_at is null and created_at < now() - %s",
                (NOT_SENT_WHILE_OFF,),
            )
            return Delivery()
        counts = {"delivered": 0, "failed": 0, "given_up": 0}
        until = time.monotonic() + SECONDS_A_CALL - settings.webhook_timeout_seconds
        with httpx.Client(timeout=settings.webhook_timeout_seconds) as client:
            for _ in range(MESSAGES_A_CALL):
                outcome = _send_next(connection, client, settings)
                if outcome is None:
                    break
                counts[outcome] += 1
                if time.monotonic() > until:
                    break
        return Delivery(**counts)


def signature(secret: str, timestamp: int, payload: bytes) -> str:
    """`v1=` and the HMAC-SHA256 of `timestamp.payload`: what a receiver computes to know the sender."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + payload, hashlib.sha256).hexdigest()


def _send_next(
    connection: psycopg.Connection[DictRow], client: httpx.Client, settings: Settings
) -> str | None:
    """Tries the oldest message that is due; None when none is. Two senders never hold the same one."""
    with connection.transaction():
        message = connection.execute(
            "select * from serving.outbox where delivered_at is null and given_up_at is null"
            " and next_attempt_at <= now() order by message_id limit 1 for update skip locked"
        ).fetchone()
        if message is None:
            return None
        error = _post(client, settings, message)
        if error is None:
            connection.execute(
                "update serving.outbox set delivered_at = now(), attempts = attempts + 1, last_error = null"
                " where message_id = %s",
                (message["message_id"],),
            )
            return "delivered"
        given_up = message["attempts"] + 1 >= settings.webhook_max_attempts
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(message["attempts"], 20), LONGEST_WAIT_SECONDS)
        connection.execute(
            "update serving.outbox set attempts = attempts + 1, last_error = %s, next_attempt_at = now() + %s,"
            " given_up_at = case when %s then now() end where message_id = %s",
            (error[:500], timedelta(seconds=wait), given_up, message["message_id"]),
        )
        return "given_up" if given_up else "failed"


def _post(client: httpx.Client, settings: Settings, message: DictRow) -> str | None:
    """Sends one message; None when it was accepted, else what was wrong."""
    payload = json.dumps(
        {
            "text": message["text"],
            "kind": message["kind"],
            "subject": message["subject"],
            "message_id": message["message_id"],
            "created_at": message["created_at"].isoformat(),
            **message["body"],
        },
        default=str,
    ).encode()
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "X-Lakehouse-Message-Id": str(message["message_id"]),
        "X-Lakehouse-Timestamp": str(timestamp),
    }
    if settings.webhook_secret:
        headers["X-Lakehouse-Signature"] = signature(settings.webhook_secret, timestamp, payload)
    try:
        response = client.post(settings.webhook_url, content=payload, headers=headers)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return None if response.is_success else f"answered {response.status_code}"
