"""A whole stack of a test's own: `lakehouse run` on free ports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.environment import settings_environment
from ecom_lakehouse.stack.ports import free_port
from ecom_lakehouse.stack.processes import kill_all, marked
from ecom_lakehouse_tests.stack.conftest import wait_until

UP_SECONDS = 240
GONE_SECONDS = 40
PORTS = ("kafka", "postgres", "api", "dashboard", "dagster")


def own_settings(home: Path, micro_batch_seconds: int = 60) -> Settings:
    """Settings of a stack in this home, on ports that nobody uses."""
    ports = {f"{name}_port": free_port() for name in PORTS}
    return Settings(_env_file=None, home=home, micro_batch_seconds=micro_batch_seconds, **ports)


@contextmanager
def running_stack(settings: Settings) -> Iterator[psutil.Process]:
    """The supervisor of a stack that is up; on leaving all of it is killed at once, its watcher too."""
    output = settings.home.parent / "output.txt"
    with output.open("wb") as file:
        supervisor = psutil.Popen(
            [sys.executable, "-c", "from ecom_lakehouse.cli import main; main()", "run"],
            env={**os.environ, **settings_environment(settings)},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: "Everything is up" in output.read_text() or supervisor.poll() is not None,
            "all is up",
            UP_SECONDS,
        )
        assert supervisor.poll() is None, output.read_text()
        yield supervisor
    finally:
        kill_all([supervisor, *marked(settings.home)])
        supervisor.wait()
        wait_until(lambda: not marked(settings.home), "no process is left", GONE_SECONDS)
