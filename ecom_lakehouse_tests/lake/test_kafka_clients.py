"""One setting for every Kafka client, librdkafka's and Java's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.lake.kafka_clients import client_options, java_client_options
from ecom_lakehouse.settings import Settings


def settings(**options: str) -> Settings:
    return Settings(_env_file=None, kafka_bootstrap_servers="broker:9092", kafka_options=options)


def test_confluent_clients_get_the_options_as_they_are() -> None:
    options = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "PLAIN"}
    assert (
        client_options(settings(**options)).items() >= {"bootstrap.servers": "broker:9092", **options}.items()
    )


def test_spark_gets_a_sasl_login_by_javas_names() -> None:
    options = {"sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": "app", "sasl.password": 'a"b\\c'}
    assert java_client_options(settings(**options)) == {
        "bootstrap.servers": "broker:9092",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="app" password="a\\"b\\\\c";',
    }


def test_spark_gets_certificates_by_javas_names(tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text("certificate")
    (tmp_path / "key.pem").write_text("key")
    options = {
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.certificate.location": str(tmp_path / "client.pem"),
        "ssl.key.location": str(tmp_path / "key.pem"),
    }
    assert java_client_options(settings(**options)) == {
        "bootstrap.servers": "broker:9092",
        "ssl.truststore.location": "/etc/ca.pem",
        "ssl.truststore.type": "PEM",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "certificate",
        "ssl.keystore.key": "key",
    }


def test_a_login_that_cannot_be_translated_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"OAUTHBEARER.*PLAIN"):
        java_client_options(settings(**{"sasl.mechanisms": "OAUTHBEARER", "sasl.username": "app"}))
