"""One slice through all layers in this process, timed; the part of `benchmarks.million` that is measured."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

BEGUN = time.monotonic()

from ecom_lakehouse.lake.bronze import write_bronze  # noqa: E402
from ecom_lakehouse.lake.gold import refresh_gold  # noqa: E402
from ecom_lakehouse.lake.planning import look_at_waiting, plan_slice  # noqa: E402
from ecom_lakehouse.lake.session import writer_session  # noqa: E402
from ecom_lakehouse.lake.silver import write_silver  # noqa: E402
from ecom_lakehouse.lake.topic import look_at_topic  # noqa: E402
from ecom_lakehouse.settings import load_settings  # noqa: E402


def main(report: Path) -> None:
    """Plans what the topic holds as one slice, takes it to Gold, and writes the times and rows."""
    settings = load_settings()
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}

    def mark(step: str) -> None:
        seconds[step] = round(time.monotonic() - BEGUN - sum(seconds.values()), 3)
        cpu_seconds[step] = round(time.process_time() - sum(cpu_seconds.values()), 3)

    with writer_session(settings, "benchmark") as session:
        waiting = look_at_waiting(session.ledger, look_at_topic(settings), settings)
        planned = plan_slice(session.ledger, waiting, settings)
        assert planned is not None, "the topic is empty"
        assert session.spark, "the engine did not start"
        assert session.lake.tables, "the lake has no tables"
        mark("start (imports, engine)")
        bronze = write_bronze(session, session.ledger.slice(planned.slice_id))
        mark("bronze")
        silver = write_silver(session, session.ledger.slice(planned.slice_id))
        mark("silver")
        gold = refresh_gold(session, [session.ledger.slice(planned.slice_id)])
        mark("gold")
        rows = {
            "bronze": bronze.rows,
            "silver": silver.silver_rows,
            "quarantine": silver.quarantine_rows,
            "duplicates": silver.duplicate_rows,
            "gold minutes": len(gold.minutes),
        }
    report.write_text(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
