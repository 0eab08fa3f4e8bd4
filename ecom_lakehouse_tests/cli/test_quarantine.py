"""`lakehouse quarantine` on a real lake and a real topic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ecom_lakehouse.cli import app, quarantine
from ecom_lakehouse.errors import LakehouseError
from ecom_lakehouse.settings import Settings
from ecom_lakehouse_tests.pipeline import Pipeline, event, message

Produce = Callable[..., None]
Lakehouse = Callable[..., Result]


@pytest.fixture
def pipeline(settings: Settings, topic: str, produce: Produce) -> Iterator[Pipeline]:
    """One slice: a good event, two bad ones of one producer, one of another, and bytes that are no text."""
    pipeline = Pipeline(settings)
    rows = [
        event(),
        event(source="shop", product_id=None, user_id="user_0002"),
        event(source="shop", event_type="view\u2028", session_id=None),
        event("purchase", source="app", price=-1),
    ]
    produce(topic, [message(each) for each in rows])
    produce(topic, [(None, b'{"broken": \xff', [("trace", b"\x00\x01")])])
    pipeline.ingest()
    yield pipeline
    pipeline.close()


@pytest.fixture
def lakehouse(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Lakehouse:
    """Runs the command on the pipeline's lake."""
    monkeypatch.setattr(quarantine, "load_settings", lambda: pipeline.settings)

    def run(*arguments: str, said: str | None = None) -> Result:
        return CliRunner().invoke(app, ["quarantine", *arguments], input=said)

    return run


def groups(result: Result) -> set[tuple[str, str, int]]:
    assert result.exception is None, repr(result.exception)
    return {(each["rule"], each["source"], each["messages"]) for each in json.loads(result.stdout)}


def test_lists_by_hour_rule_and_producer(pipeline: Pipeline, lakehouse: Lakehouse) -> None:
    assert groups(lakehouse("--json")) == {
        ("product_id_required_for_click_or_cart", "shop", 1),
        ("invalid_event_type", "shop", 1),
        ("missing_session_id", "shop", 1),
        ("purchase_requires_order_qty_price_currency", "app", 1),
        ("malformed_json", "(none)", 1),
    }
    assert groups(lakehouse("--json", "--source", "app")) == {
        ("purchase_requires_order_qty_price_currency", "app", 1)
    }
    assert groups(lakehouse("--json", "--rule", "malformed_json")) == {("malformed_json", "(none)", 1)}
    hour = pipeline.ledger.last_slice().hour  # type: ignore[union-attr]
    assert len(groups(lakehouse("--json", "--hour", f"{hour:%Y-%m-%d-%H}:00"))) == 5
    assert "Nothing" in lakehouse("--hour", "2026-01-01T00").stdout
    assert "malformed_json" in lakehouse().stdout


def test_shows_raw_messages_with_coordinates_and_codes(lakehouse: Lakehouse) -> None:
    shown = lakehouse("--show", "--rule", "purchase_requires_order_qty_price_currency").stdout
    assert '"price": -1' in shown
    assert "offset" in shown
    assert "purchase_requires_order_qty_price_currency" in shown


def test_an_unknown_rule_is_refused_with_the_codes_that_there_are(lakehouse: Lakehouse) -> None:
    result = lakehouse("--rule", "malformed")
    assert result.exit_code == 2
    assert "malformed_json" in result.stderr


def test_repaired_messages_go_back_under_their_key_with_where_they_came_from(
    pipeline: Pipeline, lakehouse: Lakehouse, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    assert "2 messages" in lakehouse("--source", "shop", "--export", str(file)).stdout
    rows = exported(file)
    for row in rows:
        content = json.loads(row["raw"])
        row["raw"] = json.dumps(content | {"event_type": "click", "product_id": "sku_1", "session_id": "s"})
    write(file, rows)
    assert "confirmed 2" in lakehouse("--replay", str(file), said="y\n").stdout
    pipeline.ingest()
    replayed = [row for row in pipeline.rows("bronze") if row["kafka_headers"] and row["source"] == "shop"]
    assert len(replayed) == 2
    assert {row["kafka_key"] for row in replayed} == {"user_0001", "user_0002"}
    headers = {each["key"]: each["value"] for each in replayed[0]["kafka_headers"]}
    origins = {
        f"{row['kafka_topic']}/{row['kafka_partition']}/{row['kafka_offset']}".encode() for row in rows
    }
    assert headers["lakehouse-replay-of"] in origins
    assert {"lakehouse-replay-codes", "lakehouse-replay-at"} <= set(headers)
    assert sum(row["source"] == "shop" for row in pipeline.rows("silver")) == 2


def test_replayed_twice_is_counted_once(pipeline: Pipeline, lakehouse: Lakehouse, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    lakehouse("--source", "app", "--export", str(file))
    (row,) = exported(file)
    write(file, [row | {"raw": row["raw"].replace(": -1", ": 1")}])
    for _ in range(2):
        assert lakehouse("--replay", str(file), "--yes").exit_code == 0
    pipeline.ingest()
    assert pipeline.kpi("events_purchase") == 1
    assert pipeline.kpi("revenue") == 2


def test_what_still_breaks_a_rule_is_refused_and_nothing_is_sent(
    pipeline: Pipeline, lakehouse: Lakehouse, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    lakehouse("--export", str(file))
    assert len(exported(file)) == 4
    result = lakehouse("--replay", str(file), "--yes")
    assert isinstance(result.exception, LakehouseError)
    assert "still break a rule" in str(result.exception)
    assert "malformed_json" in str(result.exception)
    pipeline.at_next_mark()
    assert "Nothing new" in str(pipeline.tick())


def test_nothing_is_sent_without_a_yes(pipeline: Pipeline, lakehouse: Lakehouse, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    lakehouse("--source", "app", "--export", str(file))
    (row,) = exported(file)
    write(file, [row | {"raw": row["raw"].replace(": -1", ": 1")}])
    assert lakehouse("--replay", str(file), said="n\n").exit_code == 1
    pipeline.at_next_mark()
    assert "Nothing new" in str(pipeline.tick())


@pytest.mark.parametrize("line", ["{", '{"raw": "x"}', "[]", '{"raw_base64": "%%"}'])
def test_a_file_that_is_no_export_is_refused_by_its_line(
    lakehouse: Lakehouse, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("\n" + line)
    result = lakehouse("--replay", str(file), "--yes")
    assert "line 2 is no exported message" in str(result.exception)


def test_bytes_that_are_no_text_come_back_as_they_were(lakehouse: Lakehouse, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    lakehouse("--rule", "malformed_json", "--export", str(file))
    (row,) = exported(file)
    assert row["raw_base64"] == "eyJicm9rZW4iOiD/"
    assert row["headers"] == [{"name": "trace", "value_base64": "AAE="}]
    assert row["key"] is None


def exported(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
