"""A place beside the lake for what one step computes once and reads several times."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@contextmanager
def staged(spark: SparkSession, frame: DataFrame, lake_root: str, name: str) -> Iterator[DataFrame]:
    """The frame, computed once into Parquet under `_staging` of the lake root, and gone with the context.

    Both engines read it back at the speed of a table; neither keeps a cached frame across queries.
    A killed run leaves the folder behind, and the next run of the same name overwrites it.
    """
    uri = f"{lake_root.rstrip('/')}/_staging/{name}"
    frame.write.mode("overwrite").option("compression", "snappy").parquet(uri)
    try:
        # With its schema: an empty frame leaves no file that would tell it.
        yield spark.read.schema(frame.schema).parquet(uri)
    finally:
        _remove(uri)


def _remove(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme in ("s3", "s3a"):
        bucket = boto3.resource("s3").Bucket(parts.netloc)
        bucket.objects.filter(Prefix=parts.path.strip("/") + "/").delete()
    else:
        shutil.rmtree(uri, ignore_errors=True)
