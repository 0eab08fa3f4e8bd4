"""The jars of a real Spark with Delta and Kafka: fetched into the cache and printed as a class path.

`--lock` resolves `ROOTS` anew and writes `jars.lock`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ecom_lakehouse.settings import load_settings
from ecom_lakehouse.stack.jars import fetch_jars, read_lock, write_lock

LOCK = Path(__file__).with_name("jars.lock")
ROOTS = (
    "org.apache.spark:spark-connect_2.13:4.2.0",
    "org.apache.spark:spark-sql_2.13:4.2.0",
    "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
    "io.delta:delta-spark_4.2_2.13:4.4.0",
)


def main() -> None:
    """Prints the class path, or the number of jars locked."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lock", action="store_true", help="resolve the roots anew and write jars.lock")
    if arguments.parse_args().lock:
        sys.stdout.write(f"{write_lock(load_settings(), LOCK, ROOTS)} jars locked in {LOCK}\n")
        return
    jars = fetch_jars(load_settings(), _told, read_lock(LOCK), "spark")
    sys.stdout.write(os.pathsep.join(map(str, jars)) + "\n")


def _told(done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        sys.stderr.write(f"\rSpark's jars: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")
    if done == total:
        sys.stderr.write("\n")


if __name__ == "__main__":
    main()
