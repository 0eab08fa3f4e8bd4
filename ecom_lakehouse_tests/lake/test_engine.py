"""The engine inside the process: sessions that come, nest and go, and a process that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import functions as sf

from ecom_lakehouse.errors import SettingsError
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.stack.conftest import wait_until

settings = Settings(_env_file=None)


def ended(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a Python process that runs the program; it must end by itself."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_times_are_utc_whatever_the_machine_says() -> None:
    with spark_session(settings) as spark:
        moment = sf.lit("2026-01-31T23:30:00Z").cast("timestamp")
        row = spark.range(1).select(sf.hour(moment).alias("hour"), moment.alias("moment")).toArrow()
    assert row["hour"].to_pylist() == [23]
    assert row["moment"][0].as_py() == datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


def test_sessions_follow_each_other_and_nest() -> None:
    for _ in range(3):
        with spark_session(settings) as outer:
            with spark_session(settings) as inner:
                assert inner.range(2).count() == 2
            assert outer.range(3).count() == 3


def test_a_session_leaves_no_threads_behind() -> None:
    with spark_session(settings) as spark:
        spark.range(1).count()
    before = threading.active_count()
    for _ in range(3):
        with spark_session(settings) as spark:
            spark.range(1).count()
    wait_until(lambda: threading.active_count() <= before, "the sessions' threads have ended", 10)


def test_a_session_ends_with_what_went_wrong_inside() -> None:
    with pytest.raises(ZeroDivisionError), spark_session(settings) as spark:
        raise ZeroDivisionError
    assert spark.is_stopped  # type: ignore[attr-defined]


def test_a_cast_that_fails_is_an_error_and_no_null() -> None:
    with spark_session(settings) as spark, pytest.raises(Exception, match=r"(?i)cast|invalid|malformed"):
        spark.range(1).select(sf.lit("x").cast("int")).collect()


def test_a_process_with_a_session_still_open_ends_quietly() -> None:
    done = ended(
        "from ecom_lakehouse.lake.engine import spark_session\n"
        "from ecom_lakehouse.settings import Settings\n"
        "session = spark_session(Settings(_env_file=None))\n"
        "print(session.__enter__().range(4).count())\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")


def test_a_process_without_a_main_file_can_use_the_engine() -> None:
    # As Dagster's run workers are; PySpark takes such a process for its own doctests and exits.
    done = ended(
        "import sys\n"
        "main = sys.modules['__main__']\n"
        "main.__spec__ = None\n"
        "assert not hasattr(main, '__file__')\n"
        "from ecom_lakehouse.lake.engine import spark_session\n"
        "from ecom_lakehouse.settings import Settings\n"
        "with spark_session(Settings(_env_file=None)) as spark:\n"
        "    print(spark.range(4).count())\n"
    )
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr


def test_spark_remote_names_the_server_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    host, port = server.listening_address
    monkeypatch.setenv("SPARK_REMOTE", f"sc://{host}:{port}")
    with spark_session(settings) as spark:
        assert spark.range(1).count() == 1
    server.stop()
    with pytest.raises(SettingsError), spark_session(settings):
        pass


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    with pytest.raises(SettingsError, match=r"SPARK_REMOTE=sc://127\.0\.0\.1:1"), spark_session(settings):
        pass


def test_a_folder_and_parquet_are_read_and_written(tmp_path: Path) -> None:
    with spark_session(settings) as spark:
        spark.range(3).write.parquet(str(tmp_path / "numbers"))
        assert spark.read.parquet(str(tmp_path / "numbers")).count() == 3
