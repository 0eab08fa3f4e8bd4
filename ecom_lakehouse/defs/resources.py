"""What assets and sensors are given: the right to write for a run, a ledger to read for a tick."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from ecom_lakehouse.lake.session import WriterSession, writer_session
from ecom_lakehouse.settings import Settings

# Every asset that writes the lake is in this pool; with limit 1 by run it orders the queue. That only one
# writes at a time is not its doing: the right to write in Postgres sees to that.
WRITER_POOL = "lake_writer"


def writer_of(settings: Settings) -> dg.ResourceDefinition:
    """The right to write the lake, as a resource: one writer session for the whole run.

    The executor is in-process, so all steps share it.
    """

    @dg.resource(description="The right to write the lake, held from the run's first read to its last mark.")
    def writer(context: dg.InitResourceContext) -> Iterator[WriterSession]:
        with writer_session(settings, context.run.run_id if context.run else "no run") as session:
            yield session

    return writer
