"""What a question is asked on."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow, tuple_row

Connection = AsyncConnection[DictRow]


async def fetch(connection: Connection, sql: LiteralString, **parameters: Any) -> list[DictRow]:
    """All rows of a statement whose values are bound, never pasted into it."""
    cursor = await connection.execute(sql, parameters)
    return await cursor.fetchall()


async def fetch_one(connection: Connection, sql: LiteralString, **parameters: Any) -> DictRow:
    """The one row of a statement that always gives one."""
    (row,) = await fetch(connection, sql, **parameters)
    return row


async def fetch_tuples(
    connection: Connection, sql: LiteralString, **parameters: Any
) -> list[tuple[Any, ...]]:
    """All rows as plain tuples, for answers of thousands of rows, where making dicts would take the most time."""
    cursor = connection.cursor(row_factory=tuple_row)
    await cursor.execute(sql, parameters)
    return await cursor.fetchall()
