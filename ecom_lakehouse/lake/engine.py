"""The engine that runs the transforms: a Spark cluster where one is named, else Sail inside this process.

Both speak Spark Connect, so nothing after `spark_session` differs. Sail is a Spark Connect server in Rust; it
runs Python functions in this very process and reads the lake's folder, and `s3://` with the `AWS_*` variables.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from ecom_lakehouse import errors
from ecom_lakehouse.errors import LakehouseError, SettingsError
from ecom_lakehouse.settings import LOCALHOST, Settings

SESSION_OPTIONS = {
    # The contract speaks UTC; without this, dates and hours would follow the machine's zone.
    "spark.sql.session.timeZone": "UTC",
    # A cast that fails is an error on both engines, never a silent null.
    "spark.sql.ansi.enabled": "true",
}

SAIL_OPTIONS = {
    # Sail announces each start and stop; what goes wrong reaches the caller as an exception anyway.
    "RUST_LOG": "error",
    # A session idle for 15 minutes would be dropped in the middle of a run that waits for Kafka.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": "14400",
}
"""Environment of Sail, where the user has not set it; its parallelism is the number of cores by itself."""

CONNECT_PORT = 15002
CONNECT_SECONDS = 10

_lock = threading.Lock()
_local_servers: dict[int, Any] = {}


@contextmanager
def spark_session(settings: Settings) -> Iterator[SparkSession]:
    """A session of its own on the engine, time zone UTC; stopped at the end.

    With `SPARK_REMOTE` set the session is on that server. Otherwise it is on this process's Sail, which the
    first session starts (0.1 s) and which ends with the process; sessions may follow each other or nest.

    Raises:
        SettingsError: the server that `SPARK_REMOTE` names cannot be reached.
    """
    _name_main_module()
    if settings.spark_remote is not None:
        _require_reachable(settings.spark_remote)
    session = SparkSession.builder.remote(settings.spark_remote or _local_server()).create()
    try:
        for name, value in SESSION_OPTIONS.items():
            session.conf.set(name, value)
        yield session
    finally:
        session.stop()


def refusal(error: PySparkException) -> LakehouseError | None:
    """What a function of ours refused inside the engine, if that is why the query failed."""
    for name, message in re.findall(r"(\w+Error): ([^\n]+)", str(error)):
        kind = getattr(errors, name, None)
        if kind is not None:
            refused: LakehouseError = kind(message)
            return refused
    return None


def _local_server() -> str:
    """The address of this process's Sail, started at the first call."""
    from pysail.spark import SparkConnectServer

    with _lock:
        # By process id: a forked child inherits the object, but none of the threads behind it.
        if os.getpid() not in _local_servers:
            for name, value in SAIL_OPTIONS.items():
                os.environ.setdefault(name, value)
            server = SparkConnectServer(LOCALHOST, 0)
            server.start(background=True)
            # Never stopped: it ends with the process, while `stop` would wait for sessions that are still open.
            _local_servers[os.getpid()] = server
        host, port = _local_servers[os.getpid()].listening_address
        return f"sc://{host}:{port}"


def _name_main_module() -> None:
    """Gives the main module a file: PySpark takes a process without one for its own test run, and exits."""
    main = sys.modules["__main__"]
    if not hasattr(main, "__file__"):
        main.__file__ = sys.argv[0] or __file__


def _require_reachable(remote: str) -> None:
    """Fails at once where nobody listens: PySpark itself would try again for ten minutes."""
    address = urlsplit(remote)
    try:
        socket.create_connection(
            (address.hostname or "", address.port or CONNECT_PORT), CONNECT_SECONDS
        ).close()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The Spark Connect server at SPARK_REMOTE={remote.split(';')[0]} cannot be reached ({error}); start it, "
            "or unset SPARK_REMOTE to let each run start its own engine."
        ) from error
