"""The commands that look at a stack, as a person types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from ecom_lakehouse.settings import Settings
from ecom_lakehouse.stack.environment import settings_environment


def lakehouse(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with those settings."""
    return subprocess.run(
        [sys.executable, "-c", "from ecom_lakehouse.cli import main; main()", *arguments],
        env={**os.environ, **settings_environment(settings), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_kpi_sample_shows_a_minute_as_one_row(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute(
            "insert into serving.kpi_minute (window_start, metric, value) values"
            " ('2026-01-31T12:00Z', 'events_total', 7), ('2026-01-31T12:00Z', 'revenue', 12.3400)"
        )
    done = lakehouse(settings, "kpi-sample")
    assert done.returncode == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if "2026-01-31 12:00" in line]
    assert [cell.strip() for cell in row.split("|")][:2] == ["2026-01-31 12:00", "7"]
    assert "12.3400" in row


def test_alerts_sample_shows_the_columns_though_there_is_no_alert(settings: Settings) -> None:
    done = lakehouse(settings, "alerts-sample")
    assert done.returncode == 0, done.stderr
    assert "severity" in done.stdout


def test_psql_takes_its_own_arguments(settings: Settings) -> None:
    done = lakehouse(settings, "psql", "-Atc", "select current_database()")
    assert (done.returncode, done.stdout.strip()) == (0, settings.postgres_url.rpartition("/")[2])


def test_topics_creates_the_topic_and_lists_it(settings: Settings) -> None:
    done = lakehouse(settings, "topics")
    assert done.returncode == 0, done.stderr
    assert f"{settings.topic} was created" in done.stdout
    assert sum(settings.topic in line for line in done.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("command", "said"),
    [("ps", "No stack was ever started"), ("stop", "No stack runs on"), ("clean", "is clean")],
)
def test_without_a_stack_a_sentence_says_so(tmp_path: Path, command: str, said: str) -> None:
    done = lakehouse(Settings(_env_file=None, home=tmp_path / "home"), command)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_clean_asks_and_removes_nothing_but_a_stacks_state(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")
    table = settings.home / "lake" / "bronze"
    table.mkdir(parents=True)
    thesis = settings.home / "thesis.txt"
    thesis.write_text("years of work")
    assert lakehouse(settings, "clean").returncode == 1
    assert table.exists()
    assert lakehouse(settings, "clean", "--yes").returncode == 0
    assert list(settings.home.iterdir()) == [thesis]


def test_psql_shows_no_password_on_its_command_line(settings: Settings) -> None:
    done = lakehouse(settings, "psql", "-Atc", r"\! tr '\0' ' ' < /proc/$PPID/cmdline")
    assert "postgresql://app@" in done.stdout
    assert "app:app" not in done.stdout
