"""Kafka as the generator sees it: a topic to wait for, messages to deliver, deliveries to count."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event as Stop

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ecom_lakehouse.errors import TopicError
from ecom_lakehouse.settings import Settings

Say = Callable[[str], None]
ASK_TIMEOUT_SECONDS = 2.0
ASK_AGAIN_SECONDS = 0.25
REMIND_SECONDS = 15.0
FLUSH_SECONDS = 20.0


class KafkaSink:
    """An idempotent producer for one topic that counts what the brokers confirmed.

    `delivered` and `failed` count messages; `first_error` says why the first one failed.
    """

    def __init__(self, settings: Settings, say: Say, stop: Stop) -> None:
        self.delivered = 0
        self.failed = 0
        self.first_error: str | None = None
        self._settings = settings
        self._say = say
        self._stop = stop
        self._reachable = True
        self._producer = Producer(
            {
                "linger.ms": 20,
                "compression.type": "lz4",
                **settings.kafka_options,
                "bootstrap.servers": settings.kafka_bootstrap_servers,
                "enable.idempotence": True,
                "error_cb": self._on_error,
                "log_level": 0,  # what it would print is said by `_on_error`, once and in plain words
            }
        )

    def wait(self) -> None:
        """Returns as soon as Kafka answers and has the topic, or `stop` is set; says what it waits for."""
        said_at = -REMIND_SECONDS
        while not self._stop.is_set() and (missing := self._missing()) is not None:
            if time.monotonic() - said_at >= REMIND_SECONDS:
                self._say(f"{missing}; waiting … (`make run` starts Kafka and creates the topic)")
                said_at = time.monotonic()
            self._stop.wait(ASK_AGAIN_SECONDS)

    def send(self, key: bytes, value: bytes) -> None:
        """Queues one message; waits while the queue is full, so that nothing is dropped.

        Only a stop ends that waiting: the message then counts as failed.

        Raises:
            TopicError: Kafka refuses for good, for example since the topic was made anew meanwhile.
        """
        while True:
            try:
                self._producer.produce(self._settings.topic, value, key, on_delivery=self._on_delivery)
                return
            except BufferError:
                if self._stop.is_set():
                    self._count_failed("stopped while the producer's queue was full")
                    return
                self._producer.poll(0.1)
            except KafkaException as error:
                raise TopicError(
                    f"Kafka at {self._settings.kafka_bootstrap_servers} takes no more messages for topic "
                    f"{self._settings.topic} ({error.args[0].str()}); look at `make topics`, then start again."
                ) from error

    def poll(self) -> None:
        """Counts the deliveries confirmed so far."""
        self._producer.poll(0)

    def flush(self) -> int:
        """Delivers what is queued, for at most 20 seconds; returns how many stayed unconfirmed."""
        return int(self._producer.flush(FLUSH_SECONDS))

    def _missing(self) -> str | None:
        where = self._settings.kafka_bootstrap_servers
        try:
            topics = self._producer.list_topics(timeout=ASK_TIMEOUT_SECONDS).topics
        except KafkaException:
            return f"Kafka at {where} does not answer"
        if self._settings.topic in topics:
            return None
        return f"Kafka at {where} has no topic {self._settings.topic}"

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
            if not self._reachable:
                self._reachable = True
                self._say("Kafka is back.")
            return
        self._count_failed(error.str())

    def _count_failed(self, reason: str) -> None:
        self.failed += 1
        self.first_error = self.first_error or reason

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._reachable and self.delivered:
            self._reachable = False
            self._say("Kafka cannot be reached; events are kept until it is back.")
