"""How Kafka's clients are told of the broker: librdkafka's options, and the same for Spark's Java client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.settings import Settings

_JAVA_NAMES = {"sasl.mechanisms": "sasl.mechanism", "ssl.ca.location": "ssl.truststore.location"}
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def client_options(settings: Settings) -> dict[str, Any]:
    """The options of every confluent-kafka client: the brokers, and `LAKEHOUSE_KAFKA_OPTIONS` as they are."""
    # Its log goes to standard error; from level 4 on it tells of things that it gets over by itself.
    return {"log_level": 3, **_given(settings)}


def java_client_options(settings: Settings) -> dict[str, Any]:
    """The same options by the names of Kafka's Java client, which Spark's source uses.

    Most names are the same. Translated are `sasl.mechanisms`, `sasl.username` and `sasl.password` (to a JAAS
    entry), `ssl.ca.location`, and `ssl.certificate.location` with `ssl.key.location` (PEM files, read here).

    Raises:
        SettingsError: a SASL user goes with a mechanism that cannot be translated.
    """
    options = _given(settings)
    user, password = options.pop("sasl.username", None), options.pop("sasl.password", "")
    certificate, key = options.pop("ssl.certificate.location", None), options.pop("ssl.key.location", None)
    java = {_JAVA_NAMES.get(name, name): value for name, value in options.items()}
    if "ssl.ca.location" in options:
        java["ssl.truststore.type"] = "PEM"
    if certificate and key:
        java["ssl.keystore.type"] = "PEM"
        java["ssl.keystore.certificate.chain"] = Path(certificate).read_text()
        java["ssl.keystore.key"] = Path(key).read_text()
    if user is not None:
        java["sasl.jaas.config"] = _jaas_entry(java.get("sasl.mechanism", "GSSAPI"), user, password)
    return java


def _given(settings: Settings) -> dict[str, Any]:
    return {"bootstrap.servers": settings.kafka_bootstrap_servers, **settings.kafka_options}


def _jaas_entry(mechanism: str, user: str, password: str) -> str:
    if mechanism not in _LOGIN_MODULES:
        raise SettingsError(
            f"LAKEHOUSE_KAFKA_OPTIONS: sasl.username with sasl.mechanisms={mechanism} cannot be handed to Spark; "
            f"allowed are {', '.join(_LOGIN_MODULES)}, or give sasl.jaas.config itself."
        )
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in (user, password)]
    return f'{_LOGIN_MODULES[mechanism]} required username="{quoted[0]}" password="{quoted[1]}";'
