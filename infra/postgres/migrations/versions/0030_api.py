"""What the API asks many times a second, made cheap however long the ledger grows."""

from alembic import op

revision = "0030"
down_revision = "0020"


def upgrade() -> None:
    op.execute("""
create index slices_before_gold on lake.slices (slice_id) where gold_at is null;
create index slices_by_gold on lake.slices (gold_at);
create index slices_held on lake.slices (slice_id) where held_reason is not null;
create index slice_rules_by_code on lake.slice_rules (code, slice_id) include (rows);
create index alerts_by_acknowledgement on serving.alerts (acknowledged_at) where acknowledged_at is not null;
create index alerts_by_update on serving.alerts (updated_at);

-- The same meaning as before, by two index look-ups: slices are planned in order, so the newest one that took
-- all there was, among those before the first unfinished, was also planned last.
create or replace function lake.reached_gold_at() returns timestamptz language sql stable as $$
    with first_open as (
        select coalesce(min(slice_id), 9223372036854775807) as slice_id from lake.slices where gold_at is null
    )
    select greatest(
        (select planned_at from lake.slices
         where reaches_end and slice_id < (select slice_id from first_open)
         order by slice_id desc limit 1),
        (select caught_up_at from lake.looks where last_slice_id < (select slice_id from first_open)))
$$;

grant select on public.schema_version to lakehouse_api;
    """)
