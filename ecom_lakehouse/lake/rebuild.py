"""Writing an hour's slices anew, and which slices a run has to take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from ecom_lakehouse.lake.bronze import require_kafka_still_holds
from ecom_lakehouse.lake.gold import mark_slice_dirty
from ecom_lakehouse.lake.ledger import Layer, Slice
from ecom_lakehouse.lake.session import WriterSession


def begin_rebuild(session: WriterSession, hour: datetime, first: Layer) -> list[int]:
    """Fixes the list of the hour's finished slices and marks each as rebuilding, from the layer `first` on.

    What the run itself does not write (somebody chose only Bronze) stays undone in the ledger, and the sensor's
    next run finishes it. Slices that are not finished yet are left to the sensor.

    Raises:
        TableError: Bronze is to be rebuilt but Kafka no longer holds it all; nothing was touched.
    """
    slices = session.ledger.finished_in(hour)
    if first == "bronze":
        require_kafka_still_holds(session, slices)
        _forget_missing_files(session)
    slice_ids = [each.slice_id for each in slices]
    session.ledger.begin_rebuild(slice_ids, first, session.run_id)
    if first == "gold":
        for each in slices:
            mark_slice_dirty(session, each)
    return slice_ids


def _forget_missing_files(session: WriterSession) -> None:
    """Takes files that storage no longer has out of Bronze's log, whatever hours they are of.

    The log can only be mended as a whole, so the slices of all those hours are undone from here on, and the
    sensor's next runs write them anew.

    Raises:
        TableError: Kafka no longer holds one of those hours; nothing was touched.
    """
    ledger, bronze = session.ledger, session.lake.bronze
    hours = sorted({_hour_of_file(path) for path in bronze.missing_files()})
    require_kafka_still_holds(session, [each for hour in hours for each in ledger.in_hour(hour)])
    for hour in hours:
        finished = [each.slice_id for each in ledger.finished_in(hour)]
        ledger.begin_rebuild(finished, "bronze", session.run_id)
        for each in ledger.in_hour(hour):
            if each.slice_id not in finished:
                ledger.release(each.slice_id, "bronze")
    if hours:
        bronze.forget_missing_files()


def _hour_of_file(path: str) -> datetime:
    values = dict(part.split("=", 1) for part in path.split("/")[:-1])
    day = date.fromisoformat(values["ingest_date"])
    return datetime(day.year, day.month, day.day, int(values["ingest_hour"]), tzinfo=UTC)


def slices_to_write(session: WriterSession, layer: Layer, slice_ids: Sequence[int]) -> Iterator[Slice]:
    """Those of the slices that the ledger says lack this layer next, in order; looked at one by one as they come.

    The first time, slices reach Silver in their order, so that the first of two copies is the one accepted; a
    slice waits with Silver and Gold while an earlier one is held or has never reached Silver.
    """
    for slice_id in sorted(slice_ids):
        slice_ = session.ledger.slice(slice_id)
        if not slice_.lacks(layer) or slice_.held_reason is not None:
            continue
        if layer != "bronze" and not slice_.rebuilding:
            barrier = session.ledger.barrier()
            if barrier is not None and slice_id > barrier:
                return
        yield slice_
