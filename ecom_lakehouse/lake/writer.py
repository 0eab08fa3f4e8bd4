"""The right to write: one writer at a time, whoever starts it.

The right is a Postgres session advisory lock on a connection of its own. It ends with the connection, so a
writer that is killed frees it at once and no clean-up is ever needed. A connection pooler in transaction mode
would break it: give the platform a direct connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import psycopg
from psycopg.rows import DictRow

from ecom_lakehouse.errors import LedgerError, WriterBusyError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.settings import Settings

# Any constant does, as long as nobody else in the database uses it: "lake" in ASCII.
LOCK_KEY = 0x6C616B65
POLL_SECONDS = 0.2


class RightToWrite:
    """Held from the first read of a run to its last mark; `require()` before every commit."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        self._connection = connection

    def __enter__(self) -> RightToWrite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def require(self) -> None:
        """Tests that the right is still held.

        Raises:
            LedgerError: the connection that held it is gone; nothing more may be written.
        """
        try:
            held = self._connection.execute(
                "select 1 from pg_locks where locktype = 'advisory' and objid = %s and pid = pg_backend_pid()",
                (LOCK_KEY,),
            ).fetchone()
        except psycopg.OperationalError as error:
            raise LedgerError(
                "The right to write was lost with its connection to Postgres; nothing more is written. "
                "The next run finishes what the ledger says is undone."
            ) from error
        if held is None:
            raise LedgerError("The right to write is held by nobody here; nothing more is written.")


def take_right_to_write(settings: Settings, wait_seconds: float) -> RightToWrite:
    """Takes the right to write, waiting up to `wait_seconds` for whoever has it.

    Raises:
        WriterBusyError: somebody else still has it.
    """
    # Both ends notice within a minute that the other has vanished without a word: this one writes no more, and
    # the server frees the right for the next.
    connection = connect(
        settings, autocommit=True, keepalives_idle=30, keepalives_interval=10, keepalives_count=3
    )
    connection.execute(
        "select set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),"
        " set_config('tcp_keepalives_count', '3', false)"
    )
    deadline = time.monotonic() + wait_seconds
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s) as taken", (LOCK_KEY,)).fetchone()
        if row and row["taken"]:
            return RightToWrite(connection)
        if time.monotonic() >= deadline:
            holder = lock_holder(connection)
            connection.close()
            raise WriterBusyError(
                f"Another run is writing the lake (Postgres backend {holder}) and did not end within "
                f"{wait_seconds:.0f} s; nothing was written. Run this again when it has ended (`lakehouse status`)."
            )
        time.sleep(POLL_SECONDS)


def lock_holder(connection: psycopg.Connection[DictRow]) -> int | None:
    """The Postgres backend that holds the right to write; None when nobody does."""
    row = connection.execute(
        "select pid from pg_locks where locktype = 'advisory' and objid = %s and granted"
        " and database = (select oid from pg_database where datname = current_database())",
        (LOCK_KEY,),
    ).fetchone()
    return row["pid"] if row else None


@contextmanager
def no_writer(settings: Settings) -> Iterator[None]:
    """Holds the right to write while something else than a run changes the ledger; refuses at once if taken."""
    with take_right_to_write(settings, wait_seconds=0):
        yield
