"""What one run holds while it writes: the right to, the ledger, the tables and the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.engine import spark_session
from ecom_lakehouse.lake.ledger import Ledger, Slice
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.lake.writer import RightToWrite, take_right_to_write
from ecom_lakehouse.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAIT_FOR_WRITER_SECONDS = 60.0


@dataclass
class WriterSession:
    """One run's hold on the lake, from its first read to its last mark.

    `slice_ids` is what the run works on, fixed by its first step; `in_hand` the one that is being written.
    """

    settings: Settings
    right: RightToWrite
    ledger: Ledger
    run_id: str
    _resources: ExitStack = field(repr=False)
    slice_ids: list[int] | None = None
    in_hand: Slice | None = None

    @cached_property
    def lake(self) -> Lake:
        """The lake's tables, created where they are missing."""
        lake = Lake(self.settings)
        for table in lake.tables:
            table.create_if_missing()
        return lake

    @cached_property
    def spark(self) -> SparkSession:
        """The engine, started when it is first needed."""
        return self._resources.enter_context(spark_session(self.settings))


@contextmanager
def writer_session(
    settings: Settings, run_id: str, wait_seconds: float = WAIT_FOR_WRITER_SECONDS
) -> Iterator[WriterSession]:
    """Takes the right to write for as long as the context lasts.

    Raises:
        WriterBusyError: somebody else still writes after `wait_seconds`.
    """
    with ExitStack() as resources:
        right = resources.enter_context(take_right_to_write(settings, wait_seconds))
        connection = resources.enter_context(connect(settings, autocommit=True))
        yield WriterSession(settings, right, Ledger(connection), run_id, resources)
