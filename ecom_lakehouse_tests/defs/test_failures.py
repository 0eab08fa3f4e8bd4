"""Slices that fail or are held: what the ledger says of them, and what goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from ecom_lakehouse.defs import assets, checks
from ecom_lakehouse_tests.pipeline import Pipeline, event, message

Produce = Callable[..., None]


def send(produce: Produce, pipeline: Pipeline, *events: dict[str, Any] | bytes) -> None:
    produce(pipeline.settings.topic, [message(each) for each in events], partition=0)


def last_errors(pipeline: Pipeline) -> list[str | None]:
    rows = pipeline.ledger.connection.execute("select last_error from lake.slices order by slice_id")
    return [row["last_error"] for row in rows]


def refuse(*_given: object) -> NoReturn:
    raise ValueError("the disk is full")


@pytest.mark.parametrize(
    ("where", "name"),
    [(assets, "write_bronze"), (assets, "write_silver"), (checks, "rule_verdicts"), (assets, "refresh_gold")],
)
def test_why_a_run_failed_is_in_the_ledger_wherever_it_failed(
    pipeline: Pipeline, produce: Produce, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    send(produce, pipeline, event())
    slices = pipeline.plan()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, refuse)
        pipeline.run(slices, fails=True)
    assert last_errors(pipeline) == ["ValueError: the disk is full"]
    pipeline.finish()
    assert last_errors(pipeline) == [None]
