"""The services' logs, read together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.logs import log_files, log_lines


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the logs of two services."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "api.log").write_text("one\ntwo\nthree\n")
    (tmp_path / "logs" / "kafka.log").write_bytes(b"\xff broken\n")
    return tmp_path


def test_the_last_lines_come_with_their_services_names(home: Path) -> None:
    lines = list(log_lines(log_files(home, []), 2, follow=False))
    assert lines == [("api", "two"), ("api", "three"), ("kafka", "� broken")]


def test_what_comes_later_is_shown_in_whole_lines(home: Path) -> None:
    api = home / "logs" / "api.log"
    lines = log_lines(log_files(home, ["api"]), 1, follow=True)
    assert next(lines) == ("api", "three")
    with api.open("a") as log:
        log.write("four\nfi")
    assert next(lines) == ("api", "four")
    with api.open("a") as log:
        log.write("ve\n")
    assert next(lines) == ("api", "five")
    api.write_text("anew\n")
    assert next(lines) == ("api", "anew")


def test_an_unknown_service_is_named_with_those_that_there_are(home: Path) -> None:
    with pytest.raises(StackError, match=r"no log of web .*api, kafka"):
        log_files(home, ["web"])
