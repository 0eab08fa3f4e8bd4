"""Kafka and Postgres on this machine: data that this version cannot read is refused before it is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from ecom_lakehouse.errors import StackError
from ecom_lakehouse.stack.kafka import kafka_service
from ecom_lakehouse.stack.postgres import create_roles, postgres_service, program
from ecom_lakehouse_tests.conftest import PostgresServer


def test_postgres_data_of_another_version_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(StackError, match=r"PostgreSQL 16, this is 18.*LAKEHOUSE_HOME"):
        postgres_service(tmp_path, 1).prepare()


def test_kafka_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("3\n")
    with pytest.raises(StackError, match=r"another Kafka \(3, this is 4\)"):
        kafka_service(tmp_path, 1, []).prepare()


def test_kafka_data_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "something").touch()
    with pytest.raises(StackError, match="unknown version"):
        kafka_service(tmp_path, 1, []).prepare()


def test_roles_can_be_made_again(postgres_server: PostgresServer) -> None:
    create_roles(postgres_server.folder, postgres_server.port)


def test_postgres_wants_the_password(postgres_server: PostgresServer) -> None:
    wrong = postgres_server.url("analytics").replace("app:app", "app:wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_wheels_psql_answers(postgres_server: PostgresServer) -> None:
    done = subprocess.run(
        [program("psql"), postgres_server.url("analytics"), "-Atc", "select current_user"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "app\n"


@pytest.mark.parametrize(
    "statement",
    [
        "create temp table mine (n int)",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'x')",
        "select pg_advisory_lock(hashtext('lakehouse detector'))",
        "select pg_try_advisory_xact_lock(1, 2)",
    ],
)
def test_the_apis_role_may_leave_nothing_behind_and_hold_nobody_up(
    postgres_server: PostgresServer, statement: LiteralString
) -> None:
    with (
        psycopg.connect(postgres_server.url("analytics", role="lakehouse_api")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_apis_role_does_not_idle_in_a_transaction_and_the_owner_may_lock(
    postgres_server: PostgresServer,
) -> None:
    with psycopg.connect(postgres_server.url("analytics", role="lakehouse_api")) as connection:
        assert connection.execute("show idle_in_transaction_session_timeout").fetchall() == [("15s",)]
    with psycopg.connect(postgres_server.url("analytics")) as connection:
        connection.execute("select pg_advisory_xact_lock(1)")
        connection.execute("create temp table mine (n int)")
