"""Whether the database has what the queries need."""

from __future__ import annotations

from ecom_lakehouse.serving.queries.connection import Connection, fetch, fetch_one

NEWEST_NEEDED = "lake.slices_before_gold"
"""What the newest migration that the queries lean on made; a later one only adds."""


async def schema_version(connection: Connection) -> str | None:
    """The newest migration that was run; None if one that the queries need was not."""
    row = await fetch_one(
        connection, "select to_regclass(%(needed)s) is not null as there", needed=NEWEST_NEEDED
    )
    if not row["there"]:
        return None
    rows = await fetch(connection, "select max(version_num) as version from public.schema_version")
    version: str | None = rows[0]["version"]
    return version
