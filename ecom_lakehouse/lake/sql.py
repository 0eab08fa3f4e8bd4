"""Ad-hoc questions in SQL: the lake and Gold as views of one DuckDB, read-only.

The Delta tables are handed over as datasets, so DuckDB opens only files whose partition and statistics may match.
Gold is copied out of Postgres when a statement names it, as it is at that moment and no more than
`MOST_GOLD_ROWS` of it; a question to the lake alone needs no Postgres.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import TracebackType
from typing import LiteralString

import duckdb
import psycopg
import pyarrow as pa
from pyarrow import csv

from ecom_lakehouse.errors import ServingError
from ecom_lakehouse.lake.tables import Lake
from ecom_lakehouse.settings import Settings, masked_url

MOST_GOLD_ROWS = 5_000_000
CONNECT_TIMEOUT_SECONDS = 5
WRITERS = {".csv": "write_csv", ".parquet": "write_parquet"}

_BETWEEN = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
_EXPLAIN = re.compile(
    rf"^{_BETWEEN}explain{_BETWEEN}(?:analyze\b|\([^)]*\))?", flags=re.IGNORECASE | re.DOTALL
)

_TIME = pa.timestamp("us", "UTC")
_MICROSECONDS: LiteralString = "(extract(epoch from {0}) * 1000000)::bigint as {0}"

GOLD: dict[str, tuple[LiteralString, dict[str, pa.DataType]]] = {
    "kpi_minute": (
        "select {times}, metric, value, revision from serving.kpi_minute order by window_start desc limit {most}",
        {
            "window_start": _TIME,
            "updated_at": _TIME,
            "metric": pa.string(),
            "value": pa.decimal128(38, 6),
            "revision": pa.int32(),
        },
    ),
    "alerts": (
        "select {times}, alert_id, metric, value, baseline, score, severity, state, rule_name, acknowledged_by,"
        " details from serving.alerts order by created_at desc limit {most}",
        {
            "created_at": _TIME,
            "updated_at": _TIME,
            "window_start": _TIME,
            "last_window": _TIME,
            "resolved_at": _TIME,
            "retracted_at": _TIME,
            "acknowledged_at": _TIME,
            "alert_id": pa.string(),
            "metric": pa.string(),
            "value": pa.float64(),
            "baseline": pa.float64(),
            "score": pa.float64(),
            "severity": pa.string(),
            "state": pa.string(),
            "rule_name": pa.string(),
            "acknowledged_by": pa.string(),
            "details": pa.string(),
        },
    ),
}
LAKE = ("bronze", "silver", "quarantine")
VIEWS = (*LAKE, *GOLD)


class Sql:
    """One DuckDB with the views `bronze`, `silver`, `quarantine`, `kpi_minute` and `alerts`, times in UTC.

    Each statement sees the tables as they are when it begins.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        lake = Lake(settings)
        self._tables = {"bronze": lake.bronze, "silver": lake.silver, "quarantine": lake.quarantine}
        self._duckdb = duckdb.connect()
        for name, table in self._tables.items():
            self._duckdb.register(name, table.arrow_schema.empty_table())
        for name, (_, columns) in GOLD.items():
            self._duckdb.register(name, pa.schema(columns).empty_table())
        self._duckdb.execute("set TimeZone = 'UTC'; set python_enable_replacements = false")

    def __enter__(self) -> Sql:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._duckdb.close()

    def ask(self, statement: str) -> duckdb.DuckDBPyRelation:
        """The answer to one statement that only reads; rows are computed as they are taken.

        Raises:
            ServingError: it is no such statement, DuckDB refuses it, or Gold cannot be reached.
            TableError: it names a table of the lake that does not exist yet.
        """
        try:
            self._refuse_changes(statement)
            for view in _named(statement):
                self._duckdb.register(view, self._dataset(view))
            relation = self._duckdb.sql(statement)
        except duckdb.Error as error:
            raise ServingError(_sentence(error)) from error
        if relation is None:
            raise ServingError("The statement gives no rows; ask with select.")
        return relation

    def write(self, statement: str, path: Path) -> int:
        """Writes the answer into a `.csv` or `.parquet` file and gives the number of its rows.

        Raises:
            ServingError: as `ask`, or the file cannot be written.
        """
        method = WRITERS.get(path.suffix.lower())
        if method is None:
            raise ServingError(f"{path} ends in neither .csv nor .parquet, which are what can be written.")
        relation = self.ask(statement)
        try:
            getattr(relation, method)(str(path))
            reader = f"read_{path.suffix[1:].lower()}"
            ((rows,),) = self._duckdb.execute(f"select count(*) from {reader}(?)", [str(path)]).fetchall()
        except duckdb.Error as error:
            raise ServingError(_sentence(error)) from error
        return int(rows)

    def show(self, statement: str, width: int, rows: int) -> None:
        """Prints the answer as a table, at most so many rows and columns of the screen.

        Raises:
            ServingError: as `ask`.
        """
        relation = self.ask(statement)
        try:
            relation.show(max_width=width, max_rows=rows)
        except duckdb.Error as error:
            raise ServingError(_sentence(error)) from error

    def _refuse_changes(self, statement: str) -> None:
        statements = self._duckdb.extract_statements(statement)
        if len(statements) != 1:
            raise ServingError(f"One statement at a time; these are {len(statements)}.")
        if statements[0].type == duckdb.StatementType.EXPLAIN:  # with analyze it does what it explains
            statements = self._duckdb.extract_statements(_EXPLAIN.sub("", statement))
        if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
            raise ServingError(
                "Only questions are answered here (select, describe, summarize, show, explain); "
                "nothing in the lake or in Gold can be changed. Files are written with --output."
            )

    def _dataset(self, view: str) -> object:
        if view in self._tables:
            return self._tables[view].delta().to_pyarrow_dataset()
        return self._gold(view)

    def _gold(self, view: str) -> pa.Table:
        query, columns = GOLD[view]
        times = [name for name, type_ in columns.items() if type_ == _TIME]
        listed = ", ".join(_MICROSECONDS.format(name) for name in times)
        text = io.BytesIO()
        url = self._settings.api_postgres_url
        try:
            with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
                statement = query.format(times=listed, most=MOST_GOLD_ROWS)
                with connection.cursor().copy(f"copy ({statement}) to stdout (format csv)") as rows:
                    for chunk in rows:
                        text.write(chunk)
        except psycopg.Error as error:
            raise ServingError(
                f"{view} is in Postgres, and {masked_url(url)} does not answer ({str(error).strip()}); "
                "start it (`make run`). bronze, silver and quarantine can be asked without it."
            ) from error
        text.seek(0)
        raw = {name: pa.int64() if type_ == _TIME else type_ for name, type_ in columns.items()}
        if not text.getbuffer().nbytes:
            return pa.schema(columns).empty_table()
        found = csv.read_csv(
            text,
            read_options=csv.ReadOptions(column_names=list(columns)),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=raw, strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        return found.cast(pa.schema(columns))


def _named(statement: str) -> list[str]:
    """The views whose names occur in a statement; one too many costs a look, one too few an answer."""
    words = set(re.findall(r"[a-z_]+", statement.lower()))
    return [view for view in VIEWS if view in words]


def _sentence(error: duckdb.Error) -> str:
    """DuckDB's complaint in one line, and for a name that it doesn't know those that there are."""
    said = " ".join(line.strip() for line in str(error).split("LINE 1:")[0].splitlines() if line.strip())
    if isinstance(error, duckdb.CatalogException):
        said += f" The views are {', '.join(VIEWS)}."
    return said
