"""The lake's tables, column by column, in order; transforms and `create table` both read them here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from ecom_lakehouse.core.contract import EVENT_TYPES, FIELDS, PRICE_PRECISION, PRICE_SCALE, ColumnType

HEADERS_TYPE = ArrayType(StructType([StructField("key", StringType()), StructField("value", BinaryType())]))
"""Kafka's headers, as Spark's Kafka source gives them."""

_SPARK_TYPES: dict[ColumnType, DataType] = {
    "string": StringType(),
    "int": IntegerType(),
    "timestamp": TimestampType(),
    "decimal(18,4)": DecimalType(PRICE_PRECISION, PRICE_SCALE),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, Spark type, whether it may be null, and what it means."""

    name: str
    spark_type: DataType
    nullable: bool
    description: str


@dataclass(frozen=True)
class TableSchema:
    """A table's columns in order, and the columns it is partitioned by."""

    name: str
    description: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...]

    @cached_property
    def struct(self) -> StructType:
        """The schema as Spark knows it; columns that may not be null say so."""
        return StructType(
            [StructField(column.name, column.spark_type, column.nullable) for column in self.columns]
        )

    @cached_property
    def column_names(self) -> list[str]:
        """The columns' names in order."""
        return [column.name for column in self.columns]


COORDINATES = (
    Column("kafka_topic", StringType(), False, "The topic the message was read from."),
    Column("kafka_partition", IntegerType(), False, "Its Kafka partition."),
    Column("kafka_offset", LongType(), False, "Its offset in that partition."),
    Column("kafka_key", StringType(), True, "The message's key as text; null where it isn't UTF-8."),
    Column("kafka_key_raw", BinaryType(), True, "The key's bytes, only where it isn't UTF-8."),
    Column(
        "kafka_timestamp",
        TimestampType(),
        False,
        "The broker's timestamp of the message; the slice's time where it has none.",
    ),
    Column("kafka_headers", HEADERS_TYPE, True, "The message's headers, in order."),
)

SLICE = (
    Column("slice_id", LongType(), False, "The slice that brought the row."),
    Column("ingest_date", DateType(), False, "The UTC date the slice was planned for."),
    Column("ingest_hour", IntegerType(), False, "The UTC hour the slice was planned for, 0 to 23."),
)

TYPED_AS_FAR_AS_THEY_PARSE = tuple(
    Column(field.name, _SPARK_TYPES[field.column_type], True, field.description) for field in FIELDS
)
"""The contract's fields where a message may break rules: null where a field can't be read."""

_ALWAYS_IN_SILVER = {field.name for field in FIELDS if field.required_for == EVENT_TYPES}

TYPED = tuple(
    Column(column.name, column.spark_type, column.name not in _ALWAYS_IN_SILVER, column.description)
    for column in TYPED_AS_FAR_AS_THEY_PARSE
)
"""The contract's fields of a message that breaks no rule."""

RAW = (
    Column("raw_json", StringType(), True, "The message's value as text; null where it isn't UTF-8."),
    Column("raw_value", BinaryType(), True, "The value's bytes, only where it isn't UTF-8."),
)

VALIDATION_ERRORS = Column(
    "validation_errors",
    ArrayType(StringType(), containsNull=False),
    False,
    "The codes of all rules that the message breaks, in the catalogue's order.",
)

DRIFT = Column(
    "drift",
    ArrayType(StringType(), containsNull=False),
    True,
    "What the contract doesn't know of the message: new fields, changed types. Counted, never stored.",
)

BRONZE = TableSchema(
    "bronze_events",
    "Every message that Kafka acknowledged, exactly once, as it came.",
    (*RAW, *COORDINATES, *TYPED_AS_FAR_AS_THEY_PARSE, *SLICE),
    ("ingest_date", "ingest_hour"),
)

SILVER = TableSchema(
    "silver_events",
    "The events that break no rule, typed, each event_id once.",
    (
        *TYPED,
        *COORDINATES,
        *SLICE,
        Column("event_date", DateType(), False, "The UTC date of event_time."),
        Column("event_hour", IntegerType(), False, "The UTC hour of event_time, 0 to 23."),
    ),
    ("event_date", "event_hour"),
)

QUARANTINE = TableSchema(
    "quarantine_events",
    "The messages that break a rule, with every rule they break.",
    (
        *RAW,
        VALIDATION_ERRORS,
        Column("processing_time", TimestampType(), False, "When the message was judged."),
        *COORDINATES,
        *TYPED_AS_FAR_AS_THEY_PARSE,
        *SLICE,
    ),
    ("ingest_date", "ingest_hour"),
)

TABLES = (BRONZE, SILVER, QUARANTINE)
