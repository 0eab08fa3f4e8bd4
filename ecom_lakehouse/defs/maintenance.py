"""The hourly care of the tables: closed hours compacted, files that no reader needs removed."""

import dagster as dg

from ecom_lakehouse.lake.maintenance import maintain
from ecom_lakehouse.settings import load_settings


@dg.op(description="Compacts closed hours, removes old files and log entries; safe beside a running writer.")
def maintain_tables(context: dg.OpExecutionContext) -> dg.Output[int]:
    """Maintains each table that exists; gives how many files were removed from storage."""
    maintained = maintain(load_settings())
    for table in maintained:
        put_off = "; the rest is put off, a write came between" if table.put_off else ""
        context.log.info(
            f"{table.table}: {table.files_before} files before, {table.files_after} after{put_off}"
        )
    return dg.Output(
        sum(table.files_removed for table in maintained),
        metadata={f"files of {table.table}": table.files_after for table in maintained},
    )


@dg.job(description="Keeps the lake's tables small and quick to read; every hour by itself.")
def lake_maintenance() -> None:
    """One step."""
    maintain_tables()


hourly_maintenance = dg.ScheduleDefinition(
    name="hourly_maintenance",
    job=lake_maintenance,
    cron_schedule="12 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Twelve minutes past the hour, when the hour before has long been closed.",
)
