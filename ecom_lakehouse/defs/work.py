"""Which slices a run works on, and what happens when one fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ecom_lakehouse.defs.partitions import hour_of
from ecom_lakehouse.lake.ledger import Layer, Slice
from ecom_lakehouse.lake.rebuild import begin_rebuild, slices_to_write
from ecom_lakehouse.lake.session import WriterSession

SLICES_TAG = "lakehouse/slices"


def slices_tag(slices: list[Slice]) -> dict[str, str]:
    """The run tag that names the slices which a run is to finish."""
    return {SLICES_TAG: ",".join(str(each.slice_id) for each in slices)}


def slices_of_run(context: dg.AssetExecutionContext, session: WriterSession, layer: Layer) -> Iterator[Slice]:
    """The slices that this run is to write into this layer, one by one, in order.

    A run tagged by the sensor takes the slices of its tag. Any other (somebody pressed Materialize, or a
    backfill) rebuilds its hour, from the first layer that it writes.
    """
    if session.slice_ids is None:
        tag = context.run.tags.get(SLICES_TAG)
        if tag:
            session.slice_ids = [int(slice_id) for slice_id in tag.split(",")]
        else:
            session.slice_ids = begin_rebuild(session, hour_of(context.partition_key), layer)
            context.log.info(f"Rebuilding slices {session.slice_ids} from {layer} on.")
    for slice_ in slices_to_write(session, layer, session.slice_ids):
        context.log.info(
            f"{layer}: slice {slice_.slice_id}, {slice_.next_layer} is next, attempt {slice_.attempts}"
        )
        session.in_hand = slice_
        yield slice_
    session.in_hand = None


@contextmanager
def failure_recorded(session: WriterSession) -> Iterator[None]:
    """Leaves in the ledger why a step failed, and lets the failure pass on; the whole body of an asset is in it.

    It stands at the slice in hand, or at the first that the run leaves unfinished where none was.
    """
    try:
        yield
    except Exception as error:
        at = [session.in_hand.slice_id] if session.in_hand else session.slice_ids or []
        session.ledger.record_error(at, f"{type(error).__name__}: {error}")
        raise
