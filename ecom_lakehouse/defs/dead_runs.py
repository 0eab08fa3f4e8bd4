"""Runs that Dagster believes to be at work though nobody is: reported failed, so that nothing waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus

from ecom_lakehouse.defs.work import SLICES_TAG
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.ledger import Ledger
from ecom_lakehouse.lake.writer import lock_holder
from ecom_lakehouse.settings import load_settings

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


def report_all_dead(instance: dg.DagsterInstance, ledger: Ledger) -> list[str]:
    """When the daemon starts and nobody writes: reports every run believed to work as failed; gives their ids."""
    if lock_holder(ledger.connection) is not None:
        return []
    runs = instance.get_runs(dg.RunsFilter(statuses=WORKING))
    return [_report(instance, run, "The stack that ran it has ended.") for run in runs]


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> str:
    slices = run.tags.get(SLICES_TAG, "of its hour")
    instance.report_run_failed(
        run,
        f"The worker of this run died. {reason} Slices {slices} lose nothing: the next run finishes them.",
    )
    return run.run_id


def main() -> None:
    """What the local stack does before it starts the daemon."""
    with dg.DagsterInstance.get() as instance, connect(load_settings(), autocommit=True) as connection:
        for run_id in report_all_dead(instance, Ledger(connection)):
            print(f"Run {run_id} was cut off by the last stop; it is reported failed.")


if __name__ == "__main__":
    main()
