"""The API's connections to Postgres: few, read-only, with a limit on time, made anew when Postgres returns."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from ecom_lakehouse.serving.api.problems import ApiProblem, bad_request, schema_missing, too_slow, unavailable
from ecom_lakehouse.serving.queries.connection import Connection
from ecom_lakehouse.settings import Settings, masked_url

WAIT_SECONDS = 3.0
RETRY_AFTER_SECONDS = 2
CONNECT_SECONDS = 2
RECONNECT_SECONDS = 4.0
RESTED_SECONDS = 1.0
SCHEMA_ERRORS = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InsufficientPrivilege,
)


class PooledConnection(AsyncConnection[DictRow]):
    """A connection that knows when it was last given back."""

    given_back_at = float("-inf")


async def _note_use(connection: PooledConnection) -> None:
    connection.given_back_at = time.monotonic()


async def _check_if_rested(connection: PooledConnection) -> None:
    """One that worked a moment ago works; asking each time would double what Postgres is asked."""
    if time.monotonic() - connection.given_back_at > RESTED_SECONDS:
        await AsyncConnectionPool.check_connection(connection)


class Database:
    """A bounded pool as the API's role; every problem with it becomes a 503 that says when to come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout_ms = int(settings.api_statement_timeout_seconds * 1000)
        self._pool: AsyncConnectionPool[PooledConnection] = AsyncConnectionPool(
            settings.api_postgres_url,
            connection_class=PooledConnection,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "lakehouse-api",
                "options": f"-c timezone=UTC -c statement_timeout={timeout_ms}"
                " -c default_transaction_read_only=on",
            },
            min_size=1,
            max_size=settings.api_pool_size,
            timeout=WAIT_SECONDS,
            # A short patience keeps the back-off short: Postgres' return is noticed within seconds.
            reconnect_timeout=RECONNECT_SECONDS,
            check=_check_if_rested,
            reset=_note_use,
            open=False,
        )

    async def open(self) -> None:
        """Starts the pool; Postgres may come later."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Ends every connection."""
        await self._pool.close()

    def stats(self) -> dict[str, int]:
        """The pool's own numbers: its size, how many are free, how many wait."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A read-only connection, given back at the end.

        Raises:
            ApiProblem: Postgres is away (503), the statement took too long (503), the tables are missing (503),
                or a value is none that Postgres knows (422).
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.errors.QueryCanceled as error:
            raise too_slow(self._settings.api_statement_timeout_seconds) from error
        except psycopg.DataError as error:
            raise bad_request(("parameters", f"hold what Postgres cannot take: {error}")) from error
        except SCHEMA_ERRORS as error:
            raise schema_missing(f"Postgres says: {error.diag.message_primary}.") from error
        except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> ApiProblem:
        where = masked_url(self._settings.api_postgres_url)
        return unavailable(f"{where} does not answer ({type(error).__name__}).", RETRY_AFTER_SECONDS)
