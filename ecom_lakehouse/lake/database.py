"""Postgres: connections to the platform's database, and its schema brought up to date."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from psycopg.rows import DictRow, dict_row

from ecom_lakehouse.errors import LedgerError
from ecom_lakehouse.settings import PROJECT_ROOT, Settings, masked_url

MIGRATIONS = PROJECT_ROOT / "infra" / "postgres" / "migrations"
CONNECT_TIMEOUT_SECONDS = 10


def connect(settings: Settings, **options: Any) -> psycopg.Connection[DictRow]:
    """A connection to the platform's database, rows as dicts, times in UTC; the caller closes it.

    Raises:
        LedgerError: the database cannot be reached.
    """
    try:
        return psycopg.connect(
            settings.postgres_url,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            options="-c timezone=UTC",
            **options,
        )
    except psycopg.OperationalError as error:
        raise LedgerError(
            f"Postgres at {masked_url(settings.postgres_url)} cannot be reached ({str(error).strip()}); "
            "start it (`make run`) or set LAKEHOUSE_POSTGRES_URL."
        ) from error


def migrate(settings: Settings) -> None:
    """Brings the schemas `lake` and `serving` to the newest version; does nothing where they are."""
    url = sqlalchemy.make_url(settings.postgres_url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS})
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("select pg_advisory_xact_lock(hashtext('lakehouse migrations'))")
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
