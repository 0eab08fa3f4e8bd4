"""The ledger: the write-ahead log of slices, and how far the topic has been looked at."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
create schema lake;

create table lake.topics (
    topic_id    text primary key,
    cluster_id  text not null,
    topic       text not null,
    adopted_at  timestamptz not null default now()
);
comment on table lake.topics is 'Each incarnation of a topic that was ever read; a topic made anew has another id.';

create table lake.slices (
    slice_id         bigint primary key check (slice_id > 0),
    topic_id         text not null references lake.topics,
    planned_at       timestamptz not null,
    planned_hour     timestamptz not null check (planned_hour = date_trunc('hour', planned_hour, 'UTC')),
    reaches_end      boolean not null,
    next_layer       text default 'bronze' check (next_layer in ('bronze', 'silver', 'gold')),
    rebuilding       boolean not null default false,
    held_reason      text,
    state            text not null generated always as (
        case when held_reason is not null then 'held'
             when next_layer is null then 'done'
             when rebuilding then 'rebuilding'
             when next_layer = 'bronze' then 'planned'
             when next_layer = 'silver' then 'bronze'
             else 'silver' end) stored,
    attempts         int not null default 0,
    next_attempt_at  timestamptz,
    last_error       text,
    run_id           text,
    bronze_at        timestamptz,
    silver_at        timestamptz,
    gold_at          timestamptz,
    bronze_seconds   double precision,
    silver_seconds   double precision,
    gold_seconds     double precision,
    bronze_rows      bigint,
    bronze_bytes     bigint,
    silver_rows      bigint,
    quarantine_rows  bigint,
    duplicate_rows   bigint,
    late_rows        bigint,
    gold_minutes     bigint
);
comment on column lake.slices.reaches_end is 'Whether the slice took all that the topic held when it was planned.';
comment on column lake.slices.next_layer is 'The first layer still to be written; null when all are.';
comment on column lake.slices.rebuilding is 'Written anew though it was finished before: readers may see it half-way.';
comment on column lake.slices.held_reason is 'The blocking check that failed: a person must act before Silver and Gold go on.';
create index slices_unfinished on lake.slices (slice_id) where next_layer is not null;
create index slices_by_hour on lake.slices (planned_hour, slice_id);

create table lake.slice_ranges (
    slice_id        bigint not null references lake.slices on delete cascade,
    topic_id        text not null references lake.topics,
    kafka_partition int not null check (kafka_partition >= 0),
    start_offset    bigint not null check (start_offset >= 0),
    end_offset      bigint not null,
    follows         bigint,
    bronze_rows     bigint,
    primary key (slice_id, kafka_partition),
    unique (topic_id, kafka_partition, end_offset),
    check (end_offset > start_offset),
    check (follows = start_offset),
    foreign key (topic_id, kafka_partition, follows)
        references lake.slice_ranges (topic_id, kafka_partition, end_offset)
);
comment on column lake.slice_ranges.follows is
    'The end of the range before it: the foreign key leaves no room for gaps. Null once a partition: its first range.';
create unique index one_first_range on lake.slice_ranges (topic_id, kafka_partition) where follows is null;
create unique index one_follower on lake.slice_ranges (topic_id, kafka_partition, follows);

create table lake.lost_offsets (
    slice_id        bigint not null references lake.slices on delete cascade,
    kafka_partition int not null,
    start_offset    bigint not null,
    end_offset      bigint not null check (end_offset > start_offset),
    noticed_at      timestamptz not null default now(),
    primary key (slice_id, kafka_partition, start_offset)
);
comment on table lake.lost_offsets is 'What Kafka dropped before it was read: recorded, shown, never skipped in silence.';

create table lake.slice_rules (
    slice_id bigint not null references lake.slices on delete cascade,
    code     text not null,
    rows     bigint not null check (rows > 0),
    primary key (slice_id, code)
);

create table lake.dirty_minutes (
    minute    timestamptz primary key check (minute = date_trunc('minute', minute, 'UTC')),
    slice_id  bigint not null,
    marked_at timestamptz not null default now()
);
comment on table lake.dirty_minutes is 'Minutes of event time whose Silver changed and whose Gold has not followed yet.';

create table lake.topic_progress (
    topic_id        text not null references lake.topics,
    kafka_partition int not null,
    earliest_offset bigint not null,
    end_offset      bigint not null,
    position        bigint not null,
    looked_at       timestamptz not null,
    primary key (topic_id, kafka_partition)
);
comment on table lake.topic_progress is 'The last look at the topic: its stable ends, and the end of what is planned.';

create table lake.looks (
    only_row      boolean primary key default true check (only_row),
    caught_up_at  timestamptz,
    last_slice_id bigint not null default 0,
    looked_at     timestamptz,
    paused_by     text,
    paused_at     timestamptz,
    blocked       text,
    lock_free_since timestamptz
);
comment on table lake.looks is 'The last look at the topic: when it held nothing beyond slice last_slice_id; whether planning rests, and why.';
insert into lake.looks default values;

create table lake.checks (
    planned_hour timestamptz not null,
    asset        text not null,
    check_name   text not null,
    passed       boolean not null,
    severity     text not null check (severity in ('warn', 'error')),
    blocking     boolean not null,
    description  text not null,
    evaluated_at timestamptz not null default now(),
    run_id       text,
    primary key (planned_hour, asset, check_name)
);
comment on table lake.checks is 'The latest verdict of each asset check on each hour, for readers without Dagster.';
create index checks_failing on lake.checks (planned_hour) where not passed;

-- A minute is closed when all that Kafka held at its end plus a grace has reached Gold. An observation says
-- "at this time the topic held nothing beyond slice n"; it counts as soon as every slice up to n was once done.
create function lake.reached_gold_at() returns timestamptz language sql stable as $$
    with first_open as (select min(slice_id) as slice_id from lake.slices where gold_at is null)
    select max(seen.at)
    from (select planned_at as at, slice_id from lake.slices where reaches_end
          union all
          select caught_up_at, last_slice_id from lake.looks) seen, first_open
    where first_open.slice_id is null or seen.slice_id < first_open.slice_id
$$;
    """)
