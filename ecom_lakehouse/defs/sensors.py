"""The controller: finishes what is undone, else cuts the next slice, and says why when it does neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from ecom_lakehouse.defs.assets import BRONZE, KPI_MINUTE, QUARANTINE, SILVER
from ecom_lakehouse.defs.dead_runs import report_dead_runs, working_runs
from ecom_lakehouse.defs.jobs import LIVE_PRIORITY, micro_batch
from ecom_lakehouse.defs.partitions import partition_key
from ecom_lakehouse.defs.work import SLICES_TAG, slices_tag
from ecom_lakehouse.errors import LakehouseError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.guards import require_ledger_knows_bronze
from ecom_lakehouse.lake.ledger import Layer, Ledger, Slice
from ecom_lakehouse.lake.planning import look_at_waiting, plan_is_due, plan_slice
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.lake.topic import look_at_topic
from ecom_lakehouse.lake.writer import lock_holder
from ecom_lakehouse.settings import Settings, load_settings

SLICES_A_RUN = 20
"""The most slices one run takes while it catches up; the next run takes the next ones."""

FROM_LAYER_ON: dict[Layer, tuple[dg.AssetKey, ...]] = {
    "bronze": (BRONZE, SILVER, QUARANTINE, KPI_MINUTE),
    "silver": (SILVER, QUARANTINE, KPI_MINUTE),
    "gold": (KPI_MINUTE,),
}

# A person's Materialize or backfill of assets runs under this name.
ASSET_JOB = "__ASSET_JOB"


@dg.sensor(
    job=micro_batch,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Finishes what is undone first; skips while somebody works; else cuts a slice of offsets at every minute "
        "mark and requests one run for it. A tick that dies or is replayed loses and repeats nothing."
    ),
)
def kafka_micro_batches(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One tick of the controller."""
    settings = load_settings()
    with connect(settings, autocommit=True) as connection:
        ledger = Ledger(connection)
        runs = working_runs(context.instance, [micro_batch.name, ASSET_JOB])
        for run_id in report_dead_runs(context.instance, ledger, runs):
            context.log.warning(f"Run {run_id} was dead and is reported failed.")
        try:
            work = next_work(context.instance, ledger, settings)
        except LakehouseError as error:
            ledger.set_blocked(str(error))
            return dg.SkipReason(f"Nothing is planned: {error}")
        ledger.set_blocked(None)
        if isinstance(work, str):
            return dg.SkipReason(work)
        began = ledger.begin_attempt([each.slice_id for each in work.slices], settings.retry_base_seconds)
        return dg.SensorResult(run_requests=[request(work, began)])


@dataclass(frozen=True)
class Work:
    """What one run is to do: slices of one hour, and the assets to write; all of them where none is named."""

    slices: list[Slice]
    selection: tuple[dg.AssetKey, ...] | None = None


def next_work(instance: dg.DagsterInstance, ledger: Ledger, settings: Settings) -> Work | str:
    """What to request a run for, or the reason why there is nothing to do now.

    Raises:
        TopicError: the topic is not the one that the ledger knows, or cannot be read.
        LedgerError: Bronze holds slices that the ledger doesn't know.
    """
    snapshot = look_at_topic(settings)
    waiting = look_at_waiting(ledger, snapshot, settings)
    ledger.record_look(snapshot, caught_up=waiting.messages == 0 and waiting.lost == 0)
    busy = who_works(instance, ledger)
    if busy:
        return busy
    paused_by = ledger.looks()["paused_by"]
    if paused_by:
        return f"Paused by a {paused_by}; `lakehouse resume` goes on. {waiting.messages} messages wait."
    unfinished = ledger.unfinished()
    undone = leftovers(unfinished)
    if undone:
        slice_ids = [each.slice_id for each in undone.slices]
        if not ledger.due(slice_ids):
            first = undone.slices[0]
            return (
                f"Slice {first.slice_id} was tried {first.attempts} times and is tried again soon; "
                "`lakehouse status` says why."
            )
        held = ledger.hold_exhausted(slice_ids, settings.slice_max_attempts)
        if held is not None:
            return f"Slice {held} is held: every try failed, a person must act. Bronze goes on without it."
        return undone
    if not plan_is_due(ledger.last_slice(), snapshot.seen_at, waiting.messages, settings):
        return f"The next slice is cut at the next mark; {waiting.messages} messages wait."
    require_ledger_knows_bronze(ledger, Lake(settings))
    planned = plan_slice(ledger, waiting, settings)
    if planned is None:
        return f"Nothing new in {settings.topic}."
    return Work([planned], (BRONZE,) if any(each.held_reason for each in unfinished) else None)


def who_works(instance: dg.DagsterInstance, ledger: Ledger) -> str | None:
    """Who is at work or waits in the queue, as a reason to skip; None when nobody is."""
    statuses = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    runs = instance.get_runs(dg.RunsFilter(job_name=micro_batch.name, statuses=statuses))
    for run in runs:
        if SLICES_TAG in run.tags:
            return f"Run {run.run_id[:8]} is {run.status.value.lower()} with slices {run.tags[SLICES_TAG]}."
    if lock_holder(ledger.connection) is not None:
        return "Another run is writing the lake (a rebuild or a backfill); live work goes on when it ends."
    return None


def leftovers(unfinished: Sequence[Slice]) -> Work | None:
    """What one run can finish now: slices of the oldest unfinished hour that anything can be done for.

    While a slice is held, those behind it can only reach Bronze. The others are then taken from the layer on that
    they lack: a blocking check speaks of its whole hour, and would stop them at the layer of the held slice.
    """
    barrier = min((each.slice_id for each in unfinished if each.held_reason), default=None)
    whole, bronze = [], []
    for each in unfinished:
        if each.held_reason is not None:
            continue
        if barrier is None or each.slice_id < barrier or each.rebuilding:
            whole.append(each)
        elif each.lacks("bronze"):
            bronze.append(each)
    doable = whole or bronze
    if not doable:
        return None
    first = doable[0]
    same_hour = [each for each in doable if each.hour == first.hour]
    if barrier is None:
        return Work(same_hour[:SLICES_A_RUN])
    alike = [each for each in same_hour if each.next_layer == first.next_layer]
    return Work(alike[:SLICES_A_RUN], FROM_LAYER_ON[first.next_layer or "bronze"] if whole else (BRONZE,))


def request(work: Work, began: datetime) -> dg.RunRequest:
    """One run for these slices; its key names the try, so that a replayed request is one run.

    By its time, not its number: tries are counted anew after each layer, and Dagster drops a key it has seen.
    """
    tag = slices_tag(work.slices)
    return dg.RunRequest(
        run_key=f"slices {tag[SLICES_TAG]}, {began.isoformat()}",
        partition_key=partition_key(work.slices[0].hour),
        tags={**tag, "dagster/priority": LIVE_PRIORITY},
        asset_selection=list(work.selection) if work.selection else None,
    )
