"""Runs that Dagster believes to be at work though nobody is: reported failed, so that nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus

from ecom_lakehouse.defs.work import SLICES_TAG
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.writer import lock_holder

WORKING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
PATIENCE = timedelta(seconds=60)


def working_runs(instance: dg.DagsterInstance, job_names: Sequence[str]) -> list[dg.DagsterRun]:
    """The runs of these jobs that Dagster believes to be at work."""
    found: list[dg.DagsterRun] = []
    for name in job_names:
        found += instance.get_runs(dg.RunsFilter(job_name=name, statuses=WORKING))
    return found


def report_dead_runs(
    instance: dg.DagsterInstance, ledger: Ledger, runs: Sequence[dg.DagsterRun]
) -> list[str]:
    """Reports as failed the runs at work while nobody has held the right to write for 60 s; gives their ids.

    A run needs some seconds from its start until it takes the right, so one look is not enough: the ledger
    remembers since when the right is free.
    """
    since = ledger.looks()["lock_free_since"]
    if not runs or lock_holder(ledger.connection) is not None:
        if since is not None:
            ledger.set_lock_free_since(None)
        return []
    now = datetime.now(UTC)
    if since is None:
        ledger.set_lock_free_since(now)
        return []
    if now - since < PATIENCE:
        return []
    ledger.set_lock_free_since(None)
    return [_report(instance, run, "Nobody has held the right to write for 60 s.") for run in runs]


def report_all_dead(instance: dg.DagsterInstance) -> list[str]:
    """At the start of the stack nothing can be at work yet: reports every such run as failed; gives their ids."""
    runs = instance.get_runs(dg.RunsFilter(statuses=WORKING))
    return [_report(instance, run, "The stack that ran it has ended.") for run in runs]


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> str:
    slices = run.tags.get(SLICES_TAG, "of its hour")
    instance.report_run_failed(
        run,
        f"The worker of this run died. {reason} Slices {slices} lose nothing: the next run finishes them.",
    )
    return run.run_id


if __name__ == "__main__":
    with dg.DagsterInstance.get() as at_start:
        for reported in report_all_dead(at_start):
            print(f"Run {reported} was cut off by the last stop; it is reported failed.")
