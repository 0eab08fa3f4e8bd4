"""`lakehouse backtest`: the CSV that an analyst gives, and the one that she gets."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ecom_lakehouse.cli import app
from ecom_lakehouse.core.detection import RULES
from ecom_lakehouse.errors import LakehouseError, ServingError, SettingsError
from ecom_lakehouse.serving.backtest import read_series
from ecom_lakehouse.settings import Settings

START = datetime(2026, 1, 5, tzinfo=UTC)


def series(rows: int = 600, spike: int | None = 500) -> str:
    values = np.random.default_rng(1).normal(50, 3, rows)
    if spike is not None and spike < rows:
        values[spike] = 200
    lines = [
        f"{(START + timedelta(minutes=5 * n)).isoformat(sep=' ')[:19]},{value}"
        for n, value in enumerate(values)
    ]
    return "\n".join(["timestamp,value", *lines, ""])


def backtest(folder: Path, text: str, *options: str) -> Result:
    file = folder / "series.csv"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, ["backtest", str(file), *options])
    if isinstance(result.exception, LakehouseError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows_of(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.stdout)))


@pytest.mark.parametrize("rule", RULES)
def test_stdout_is_one_csv_row_for_each_input_row_in_its_order(tmp_path: Path, rule: str) -> None:
    text = series()
    result = backtest(tmp_path, text, "--rule", rule)
    rows = rows_of(result)
    assert list(rows[0]) == ["timestamp", "value", "baseline", "lower", "upper", "score", "severity"]
    assert [f"{row['timestamp']},{row['value']}" for row in rows] == text.splitlines()[1:]
    assert all(0.0 <= float(row["score"]) <= 1.0 for row in rows)
    assert max(rows, key=lambda row: float(row["score"]))["timestamp"] == rows[500]["timestamp"]
    assert rows[500]["severity"] == "critical"
    assert f"{rule}: 600 rows" in result.stderr


def test_output_goes_to_a_file_and_the_picture_beside_it(tmp_path: Path) -> None:
    for suffix, magic in ((".png", b"\x89PNG"), (".svg", b"<svg"), (".html", b"<!DOCTYPE html>")):
        picture = tmp_path / f"deep/out{suffix}"
        result = backtest(
            tmp_path, series(), "--output", str(tmp_path / "deep/out.csv"), "--plot", str(picture)
        )
        assert result.stdout == ""
        assert magic in picture.read_bytes()[:2000]
    assert len((tmp_path / "deep/out.csv").read_text().splitlines()) == 601


def test_headers_blanks_nan_duplicates_and_gaps_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (
        "\ufeffLabel, Value , TIMESTAMP\r\n"
        "a,1.5,2026-01-05T00:00:00Z\r\n"
        "b,,2026-01-05T00:05:00Z\r\n"
        'c,NaN,"2026-01-05T00:05:00+00:00"\r\n'
        "\r\n"
        "d,2,2026-01-04 23:00\r\n"
        "e,1e3,1767571200\r\n"
        "f,-3,1767571200000\r\n"
    )
    result = backtest(tmp_path, text)
    rows = rows_of(result)
    assert [(row["timestamp"], row["value"]) for row in rows] == [
        ("2026-01-05T00:00:00Z", "1.5"),
        ("2026-01-05T00:05:00Z", ""),
        ("2026-01-05T00:05:00+00:00", "NaN"),
        ("2026-01-04 23:00", "2"),
        ("1767571200", "1e3"),
        ("1767571200000", "-3"),
    ]
    assert "2 without a value" in result.stderr
    assert "are not later than a row above them" in result.stderr


def test_a_file_of_headers_alone_gives_headers_alone(tmp_path: Path) -> None:
    assert rows_of(backtest(tmp_path, "timestamp,value\n")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; its first line must name timestamp and value"),
        ("time,value\n1,2\n", "line 1: 0 columns are called timestamp"),
        ("timestamp,value,Value\n1,2,3\n", "line 1: 2 columns are called value"),
        ("timestamp,value\n2026-01-05,1\nsoon,2\n", "line 3: 'soon' is no timestamp"),
        ("timestamp,value\n2026-01-05,1\n2026-01-06,many\n", "line 3: 'many' is no number"),
        ("timestamp,value\n2026-01-05,1\n2026-01-06\n", "line 3: 1 columns"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ServingError, match=message):
        backtest(tmp_path, text)


def test_wrong_options_are_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no rule; there are surprise_v1, ewma_zscore_v1"):
        backtest(tmp_path, series(10), "--rule", "magic")
    with pytest.raises(SettingsError, match="no parameter 'warn'"):
        backtest(tmp_path, series(10), "--set", "warn=3")
    with pytest.raises(SettingsError, match="NAME=NUMBER is needed"):
        backtest(tmp_path, series(10), "--set", "warn_surprise")
    with pytest.raises(SettingsError, match="no metric of Gold"):
        backtest(tmp_path, series(10), "--metric", "profit")
    with pytest.raises(ServingError, match="cannot be read"):
        read_series(tmp_path / "none.csv")
    with pytest.raises(ServingError, match=r"\.png, \.svg or \.html is needed"):
        backtest(tmp_path, series(10), "--plot", str(tmp_path / "out.gif"))


def test_a_parameter_changes_the_verdict(tmp_path: Path) -> None:
    severities = [
        rows_of(
            backtest(
                tmp_path,
                series(),
                "--rule",
                "ewma_zscore_v1",
                "--set",
                f"warn_z={z}",
                "--set",
                "critical_z=1e9",
            )
        )[500]["severity"]
        for z in (3, 1e6)
    ]
    assert severities == ["warn", "none"]


def test_every_stamp_is_judged_by_the_shops_clock_whatever_its_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    times = [START + timedelta(minutes=10 * n) for n in range(1000)]
    values = [100 + 90 * np.sin(at.hour / 24 * 6.28) * (at.weekday() < 5) + rng.normal() for at in times]
    monkeypatch.setattr(
        "ecom_lakehouse.settings.load_settings",
        lambda: Settings(detector_time_zone="America/New_York", _env_file=None),  # type: ignore[call-arg]
    )
    scores = []
    for zone in ("UTC", "America/New_York"):
        lines = [
            f"{at.astimezone(ZoneInfo(zone)).isoformat()},{value}"
            for at, value in zip(times, values, strict=True)
        ]
        rows = rows_of(backtest(tmp_path, "\n".join(["timestamp,value", *lines])))
        assert [f"{row['timestamp']},{row['value']}" for row in rows] == lines
        scores.append([row["baseline"] for row in rows])
    assert scores[0] == scores[1]


def test_the_summary_says_what_a_blank_would_be_live(tmp_path: Path) -> None:
    text = "timestamp,value\n1767571200,5\n1767571260,\n"
    assert (
        "live, a minute without events counts as 0" in backtest(tmp_path, text, "--metric", "revenue").stderr
    )
    assert "live" not in backtest(tmp_path, text).stderr


def test_a_metric_is_judged_as_its_kind(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).poisson(900, 400).astype(float)
    counts[350] = 0
    text = "timestamp,value\n" + "".join(f"{1767571200 + 60 * n},{value}\n" for n, value in enumerate(counts))
    assert rows_of(backtest(tmp_path, text, "--metric", "events_total"))[350]["severity"] == "critical"


@pytest.mark.parametrize("metric", ["purchase_conversion", "add_to_cart_rate", "checkout_rate"])
def test_a_ratio_that_collapses_alarms_without_its_denominator_too(tmp_path: Path, metric: str) -> None:
    ratios = np.random.default_rng(1).binomial(700, 0.05, 400) / 700
    ratios[350:] = 0.0
    text = "timestamp,value\n" + "".join(f"{1767571200 + 60 * n},{one}\n" for n, one in enumerate(ratios))
    result = backtest(tmp_path, text, "--metric", metric)
    rows = rows_of(result)
    assert rows[350]["severity"] != "none"
    assert {row["severity"] for row in rows[:350]} == {"none"}
    assert f"no column support, so {metric} is judged as a series of which nothing is known" in result.stderr
    plain = backtest(tmp_path, text)
    assert rows_of(plain) == rows
    assert "no column support" not in plain.stderr
