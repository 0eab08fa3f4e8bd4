"""What the API asks many times a second, made cheap however long the ledger grows."""

from alembic import op

revision = "0030"
down_revision = "0020"


def upgrade() -> None:
    op.execute(r"""
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

-- Sums by hour, kept in step with the minutes by the statement that writes them: a month by hour or day is
-- added up from 720 rows instead of 43,200. Ratios are not stored: they follow from the sums.
create table serving.kpi_hour (
    metric text not null,
    hour   timestamptz not null,
    total  numeric not null,
    primary key (metric, hour)
);

create function serving.add_up_hours() returns trigger language plpgsql as $$
begin
    -- two writers of one hour, one after the other: the second must see what the first has written
    perform pg_advisory_xact_lock(hashtext('serving.kpi_hour'));
    with hours as (
        select distinct metric, date_bin('1 hour', window_start, 'epoch') as hour from touched
        where metric = 'revenue' or metric like 'events\_%'
    ), sums as (
        select metric, hour, (select sum(value) from serving.kpi_minute k
                              where k.metric = hours.metric and k.window_start >= hours.hour
                                and k.window_start < hours.hour + interval '1 hour') as total
        from hours
    ), gone as (
        delete from serving.kpi_hour k using sums
        where sums.total is null and k.metric = sums.metric and k.hour = sums.hour
    )
    insert into serving.kpi_hour select metric, hour, total from sums where total is not null
    on conflict (metric, hour) do update set total = excluded.total where kpi_hour.total <> excluded.total;
    return null;
end $$;

create trigger hours_after_insert after insert on serving.kpi_minute
    referencing new table as touched for each statement execute function serving.add_up_hours();
create trigger hours_after_update after update on serving.kpi_minute
    referencing new table as touched for each statement execute function serving.add_up_hours();
create trigger hours_after_delete after delete on serving.kpi_minute
    referencing old table as touched for each statement execute function serving.add_up_hours();

create function serving.forget_hours() returns trigger language plpgsql as $$
begin
    truncate serving.kpi_hour;
    return null;
end $$;
create trigger hours_after_truncate after truncate on serving.kpi_minute
    for each statement execute function serving.forget_hours();

insert into serving.kpi_hour
select metric, date_bin('1 hour', window_start, 'epoch'), sum(value) from serving.kpi_minute
where metric = 'revenue' or metric like 'events\_%' group by 1, 2;

grant select on public.schema_version to lakehouse_api;
    """)
