"""The Quarantine table, opened once and brought up to date at each question."""

from __future__ import annotations

import threading

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from ecom_lakehouse.settings import Settings


class QuarantineReader:
    """Reads without an engine; blocking, so call it on a thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table: DeltaTable | None = None
        self._lock = threading.Lock()

    def version(self) -> int | None:
        """The table's newest version; None while there is no table."""
        with self._lock:
            table = self._newest()
            return table.version() if table else None

    def dataset(self) -> ds.Dataset:
        """The newest version of the table, as a dataset that prunes by partition and statistics."""
        with self._lock:
            table = self._newest()
            return table.to_pyarrow_dataset() if table else ds.dataset(pa.table({}))

    def _newest(self) -> DeltaTable | None:
        try:
            if self._table is None:
                self._table = DeltaTable(self._uri(), storage_options=self._settings.storage_options)
            else:
                self._table.update_incremental()
        except TableNotFoundError:
            self._table = None
        return self._table

    def _uri(self) -> str:
        # here, not above: the tables' schemas bring PySpark along, which the API's start need not wait for
        from ecom_lakehouse.lake.tables import Lake

        return Lake(self._settings).quarantine.uri
