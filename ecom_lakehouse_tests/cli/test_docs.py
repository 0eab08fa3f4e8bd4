"""`lakehouse docs` writes what is out of date, and `--check` only tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecom_lakehouse.cli import app
from ecom_lakehouse.cli import docs as subject
from ecom_lakehouse.core.documents import DOCUMENTS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(subject, "PROJECT_ROOT", tmp_path)
    return tmp_path


def test_a_check_finds_what_is_out_of_date_and_writes_nothing(project: Path) -> None:
    checked = CliRunner().invoke(app, ["docs", "--check"])
    assert checked.exit_code == 1
    assert "Out of date: docs/data_contract.md, docs/dq_rules.md, docs/event.schema.json" in checked.output
    assert list((project / "docs").iterdir()) == []


def test_what_was_written_passes_the_check_until_it_is_changed(project: Path) -> None:
    assert CliRunner().invoke(app, ["docs"]).exit_code == 0
    assert [(project / name).read_text() == content() for name, content in DOCUMENTS.items()] == [True] * 3
    assert CliRunner().invoke(app, ["docs", "--check"]).exit_code == 0
    (project / "docs" / "dq_rules.md").write_text("changed by hand")
    assert CliRunner().invoke(app, ["docs", "--check"]).exit_code == 1
