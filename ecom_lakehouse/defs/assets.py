"""The assets: Kafka's topic, Bronze, Silver and Quarantine in one pass, and Gold."""

from collections.abc import Iterator

import dagster as dg

from ecom_lakehouse.core import schemas
from ecom_lakehouse.defs import checks, lineage, metadata
from ecom_lakehouse.defs.partitions import hour_of, hourly
from ecom_lakehouse.defs.resources import WRITER_POOL
from ecom_lakehouse.defs.work import failure_recorded, slices_of_run
from ecom_lakehouse.lake.bronze import write_bronze
from ecom_lakehouse.lake.gold import refresh_gold
from ecom_lakehouse.lake.session import WriterSession
from ecom_lakehouse.lake.silver import write_silver
from ecom_lakehouse.settings import load_settings

GROUP = "lakehouse"
OWNERS = ["team:data-platform"]
TOPIC = dg.AssetKey("kafka_topic")
BRONZE = dg.AssetKey("bronze_events")
SILVER = dg.AssetKey("silver_events")
QUARANTINE = dg.AssetKey("quarantine_events")
KPI_MINUTE = dg.AssetKey("kpi_minute")

kafka_topic = dg.AssetSpec(
    TOPIC,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"kafka"},
    description=(
        f"`{load_settings().topic}`: shop events as producers send them, one JSON object a message, keyed by "
        "user. The contract is in docs/data_contract.md. Nothing here writes it but the generator."
    ),
    metadata={"topic": load_settings().topic, "brokers": load_settings().kafka_bootstrap_servers},
)


@dg.asset(
    key=BRONZE,
    deps=[kafka_topic],
    partitions_def=hourly,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"bronze", "deltalake", "spark"},
    pool=WRITER_POOL,
    check_specs=checks.BRONZE_CHECKS,
    metadata=metadata.table_definition(schemas.BRONZE, lineage.BRONZE),
    description=(
        "Every message of the hour, exactly once, as it came: raw value, key, headers, offsets, and the "
        "contract's fields as far as they parse. Append-only. Rebuilt from Kafka while Kafka holds it."
    ),
)
def bronze_events(
    context: dg.AssetExecutionContext, writer: dg.ResourceParam[WriterSession]
) -> dg.MaterializeResult:
    """Kafka → Bronze, slice by slice."""
    with failure_recorded(writer):
        written = [write_bronze(writer, slice_) for slice_ in slices_of_run(context, writer, "bronze")]
        for each in written:
            if each.kept:
                context.log.warning(
                    f"Slice {each.slice.slice_id}: Kafka no longer gives every row that Bronze holds, so what is "
                    f"stored stays ({each.rows} rows)."
                )
        hour = hour_of(context.partition_key)
        return dg.MaterializeResult(
            metadata=metadata.of_bronze(writer, hour, written),
            check_results=checks.on_bronze(context.instance, writer, hour, written),
        )


@dg.multi_asset(
    name="silver_and_quarantine",
    partitions_def=hourly,
    pool=WRITER_POOL,
    check_specs=[*checks.SILVER_CHECKS, *checks.QUARANTINE_CHECKS],
    specs=[
        dg.AssetSpec(
            SILVER,
            deps=[BRONZE],
            group_name=GROUP,
            owners=OWNERS,
            kinds={"silver", "deltalake", "spark"},
            metadata=metadata.table_definition(schemas.SILVER, lineage.SILVER),
            description=(
                "The hour's events that break no rule: typed, each event_id once, however late. The files are "
                "partitioned by event time, the asset by ingestion."
            ),
        ),
        dg.AssetSpec(
            QUARANTINE,
            deps=[BRONZE],
            group_name=GROUP,
            owners=OWNERS,
            kinds={"quarantine", "deltalake", "spark"},
            metadata=metadata.table_definition(schemas.QUARANTINE, lineage.QUARANTINE),
            description=(
                "The hour's messages that break a rule, with every rule they break and their raw value. Relax or "
                "mend a rule and materialize the hour: the rows move to Silver."
            ),
        ),
    ],
)
def silver_and_quarantine(
    context: dg.AssetExecutionContext, writer: dg.ResourceParam[WriterSession]
) -> Iterator[dg.MaterializeResult]:
    """Bronze → Silver and Quarantine, each slice judged once."""
    with failure_recorded(writer):
        written = [write_silver(writer, slice_) for slice_ in slices_of_run(context, writer, "silver")]
        hour = hour_of(context.partition_key)
        yield dg.MaterializeResult(
            asset_key=QUARANTINE,
            metadata=metadata.of_quarantine(writer, hour, written),
            check_results=checks.on_quarantine(writer, hour, written),
        )
        yield dg.MaterializeResult(
            asset_key=SILVER,
            metadata=metadata.of_silver(writer, hour, written),
            check_results=checks.on_silver(context.instance, writer, hour, written),
        )


@dg.asset(
    key=KPI_MINUTE,
    deps=[SILVER],
    partitions_def=hourly,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"gold", "postgres"},
    pool=WRITER_POOL,
    check_specs=checks.KPI_CHECKS,
    metadata=metadata.KPI_TABLE,
    description=(
        "KPIs by minute of event time, in Postgres (`serving.kpi_minute`). A run computes anew every minute whose "
        "Silver has changed, however old, and replaces it in one transaction."
    ),
)
def kpi_minute(
    context: dg.AssetExecutionContext, writer: dg.ResourceParam[WriterSession]
) -> dg.MaterializeResult:
    """Silver → Gold, every dirty minute."""
    with failure_recorded(writer):
        slices = list(slices_of_run(context, writer, "gold"))
        refreshed = refresh_gold(writer, slices)
        hour = hour_of(context.partition_key)
        return dg.MaterializeResult(
            metadata=metadata.of_gold(writer, slices, refreshed),
            check_results=checks.on_gold(context.instance, writer, hour, refreshed),
        )
