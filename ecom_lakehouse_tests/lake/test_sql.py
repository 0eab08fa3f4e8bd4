"""`lakehouse sql`: the lake and Gold in one DuckDB, read-only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from pyarrow import parquet

from ecom_lakehouse.cli import sql as command
from ecom_lakehouse.errors import ServingError, TableError
from ecom_lakehouse.lake.database import connect
from ecom_lakehouse.lake.sql import Sql
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def stored(settings: Settings, hour: datetime, messages: int = 3) -> None:
    """A slice of messages in Bronze, in the partition of its hour."""
    table = Lake(settings).bronze
    table.create_if_missing()
    rows = [
        {
            "raw_json": f'{{"n":{number}}}',
            "kafka_topic": "events",
            "kafka_partition": 0,
            "kafka_offset": hour.hour * 1000 + number,
            "kafka_timestamp": hour + timedelta(seconds=number),
            "price": Decimal("1.2500"),
            "slice_id": hour.hour,
            "ingest_date": hour.date(),
            "ingest_hour": hour.hour,
        }
        for number in range(messages)
    ]
    write_deltalake(table.uri, pa.Table.from_pylist(rows, schema=table.arrow_schema), mode="append")


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of a lake whose Postgres is not there."""
    return Settings(
        _env_file=None, home=tmp_path, api_postgres_url="postgresql://nobody:secret@127.0.0.1:1/x"
    )


@pytest.fixture
def sql(alone: Settings) -> Iterator[Sql]:
    """A lake with one slice, without Postgres."""
    stored(alone, NOON)
    with Sql(alone) as session:
        yield session


def test_the_lake_answers_without_postgres(sql: Sql) -> None:
    assert sql.ask("select count(*), sum(price), max(kafka_timestamp) from bronze").fetchall() == [
        (3, Decimal("3.7500"), NOON + timedelta(seconds=2))
    ]


def test_each_statement_sees_the_table_as_it_is_then(sql: Sql, alone: Settings) -> None:
    assert sql.ask("select count(*) from bronze").fetchall() == [(3,)]
    stored(alone, NOON + timedelta(hours=1), 4)
    assert sql.ask("select count(*) from bronze").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "condition",
    [
        "ingest_date = '2026-01-31' and ingest_hour = 13",
        "ingest_date = date '2026-01-31' and ingest_hour between 13 and 13",
        "slice_id = 13",
        "kafka_timestamp >= '2026-01-31T13:00:00Z' and kafka_timestamp < '2026-01-31T14:00:00Z'",
    ],
)
def test_only_files_that_may_match_are_opened(sql: Sql, alone: Settings, condition: str) -> None:
    for hour in (1, 2):
        stored(alone, NOON + timedelta(hours=hour))
    for file in Path(Lake(alone).bronze.uri).rglob("*.parquet"):
        if "ingest_hour=13" not in str(file):
            file.write_bytes(b"nobody may open this")
    assert sql.ask(f"select count(*) from bronze where {condition}").fetchall() == [(3,)]
    joined = f"with picked as (select * from bronze where {condition}) select count(*) from picked"
    assert sql.ask(joined).fetchall() == [(3,)]


def test_gold_is_asked_as_it_is_with_exact_values(settings: Settings) -> None:
    with connect(settings, autocommit=True) as connection:
        connection.execute(
            "insert into serving.kpi_minute (window_start, metric, value) values (%s, 'revenue', 12.3456)",
            (NOON,),
        )
        connection.execute(
            "insert into serving.alerts (alert_id, window_start, last_window, metric, severity, rule_name, details)"
            " values ('a', %s, %s, 'revenue', 'warn', 'r', '{\"why\": \"a \\\"quote\\\"\\nand, a comma\"}')",
            (NOON, NOON),
        )
        with Sql(settings) as sql:
            question = (
                "select window_start, value, severity, details->>'why'"
                " from kpi_minute join alerts using (window_start, metric)"
            )
            with pytest.raises(ServingError, match=r"(?i)ambiguous"):
                sql.ask(question).fetchall()
            question = question.replace("value", "kpi_minute.value")
            assert sql.ask(question).fetchall() == [
                (NOON, Decimal("12.345600"), "warn", 'a "quote"\nand, a comma')
            ]
            assert sql.ask("select resolved_at, acknowledged_by from alerts").fetchall() == [(None, None)]
            connection.execute("delete from serving.kpi_minute")
            assert sql.ask("select count(*) from kpi_minute").fetchall() == [(0,)]


def test_gold_without_postgres_is_refused_in_a_sentence_without_the_password(sql: Sql) -> None:
    with pytest.raises(ServingError, match="make run") as refusal:
        sql.ask("select * from kpi_minute")
    assert "secret" not in str(refusal.value)


def test_a_table_that_does_not_exist_yet_says_what_makes_it(sql: Sql) -> None:
    with pytest.raises(TableError, match="make run"):
        sql.ask("select * from silver")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from bronze",
        "create table mine as select 1",
        "copy bronze to '/tmp/stolen.csv'",
        "explain analyze copy bronze to '/tmp/stolen.csv'",
        "/* why */ explain analyze copy bronze to '/tmp/stolen.csv'",
        "-- why\nexplain analyze copy bronze to '/tmp/stolen.csv'",
        "explain (analyze) copy bronze to '/tmp/stolen.csv'",
        "explain (analyze, format json) copy (from bronze) to '/tmp/stolen.csv'",
        "explain /* why */ analyze create table mine as select 1",
        "attach '/tmp/x.db'",
        "install httpfs",
        "set threads = 1",
        "pragma database_list",
        "select 1; select 2",
        "drop view bronze",
        "",
    ],
)
def test_nothing_can_be_changed(sql: Sql, statement: str) -> None:
    with pytest.raises(ServingError):
        sql.ask(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        "from bronze limit 1",
        "describe bronze",
        "summarize bronze",
        "show tables",
        "explain select * from bronze",
        "explain analyze select count(*) from bronze",
        "/* why */ explain (format json) with a as (from bronze) from a",
        "values (1)",
    ],
)
def test_every_kind_of_question_is_answered(sql: Sql, statement: str) -> None:
    assert sql.ask(statement).fetchall()


def test_mistakes_are_one_sentence_and_name_the_views(sql: Sql) -> None:
    with pytest.raises(ServingError, match="bronze, silver, quarantine, kpi_minute, alerts"):
        sql.ask("select * from bronce")
    with pytest.raises(ServingError, match="prize"):
        sql.ask("select prize from bronze")
    with pytest.raises(ServingError, match="syntax"):
        sql.ask("selec 1")
    with pytest.raises(ServingError, match=r"(?i)convert"):
        sql.show("select cast(raw_json as int) from bronze", 80, 10)


def test_variables_of_the_program_are_no_tables(sql: Sql) -> None:
    hidden = pa.table({"secret": [1]})
    with pytest.raises(ServingError, match="hidden"):
        sql.ask("select * from hidden")
    assert hidden.num_rows == 1


def test_answers_are_written_as_csv_and_parquet(sql: Sql, tmp_path: Path) -> None:
    question = "select kafka_offset, price, kafka_timestamp from bronze order by 1"
    assert sql.write(question, tmp_path / "x.csv") == 3
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == [
        "kafka_offset,price,kafka_timestamp",
        "12000,1.2500,2026-01-31 12:00:00+00",
    ]
    assert sql.write(question, tmp_path / "x.parquet") == 3
    assert parquet.read_table(tmp_path / "x.parquet")["kafka_offset"].to_pylist() == [12000, 12001, 12002]
    with pytest.raises(ServingError, match=r"\.csv nor \.parquet"):
        sql.write(question, tmp_path / "x.xlsx")
    with pytest.raises(ServingError, match="no-such-folder"):
        sql.write(question, tmp_path / "no-such-folder" / "x.csv")


def test_the_command_answers_a_script_from_a_pipe(alone: Settings) -> None:
    answer = subprocess.run(
        [str(Path(sys.executable).parent / "lakehouse"), "sql"],
        input="select 41 + 1 as answer; select 'a;b' as text;",
        env={"PATH": "/usr/bin:/bin", "LAKEHOUSE_HOME": str(alone.home)},
        cwd=alone.home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "42" in answer.stdout
    assert "a;b" in answer.stdout


def test_the_command_answers_one_question_and_writes_files(
    sql: Sql,
    alone: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load_settings", lambda: alone)
    command.ask("select count(*) as messages from bronze", None)
    assert "messages" in capfd.readouterr().out
    command.ask("from bronze", alone.home / "x.parquet")
    assert "3 rows written" in capfd.readouterr().out
    with pytest.raises(ServingError, match="-c"):
        command.ask(None, alone.home / "x.parquet")


def test_the_prompt_goes_on_after_a_mistake_and_takes_several_lines(
    sql: Sql, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    typed: list[Any] = [
        "",
        "select 40",
        "+ 2 as answer;",
        "selec 1;",
        "select 9",
        KeyboardInterrupt(),
        "\\d",
        "\\d bronze",
        "select 7 as last;",
        "\\q",
    ]

    def typing(_prompt: str) -> str:
        line = typed.pop(0)
        if isinstance(line, BaseException):
            raise line
        return str(line)

    monkeypatch.setattr("builtins.input", typing)
    command._converse(sql)
    shown = capfd.readouterr()
    for expected in ("42", "kpi_minute", "raw_json", "last"):
        assert expected in shown.out
    assert "syntax" in shown.err
    assert typed == []
