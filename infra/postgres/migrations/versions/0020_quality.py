"""Quality: what the checks found and still stands, and what was counted of each slice for them."""

from alembic import op

revision = "0020"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
create table lake.findings (
    asset        text not null,
    check_name   text not null,
    subject      text not null,
    planned_hour timestamptz not null,
    slice_id     bigint references lake.slices on delete cascade,
    rows         bigint not null check (rows > 0),
    what         text not null,
    found_at     timestamptz not null default now(),
    primary key (asset, check_name, subject)
);
comment on table lake.findings is
    'What a check found in the data and what still stands: the verdict on an hour is on all of them, not on the last run.';
comment on column lake.findings.subject is
    'What was looked at: a slice or a minute. Looked at again, the finding is replaced or gone.';
create index findings_by_hour on lake.findings (planned_hour, asset, check_name);
create index findings_by_slice on lake.findings (slice_id);

alter table lake.slice_rules
    add column first_message text,
    add column last_message text;
comment on column lake.slice_rules.first_message is 'Kafka partition and offset of the earliest message that broke the rule.';

create table lake.slice_drift (
    slice_id bigint not null references lake.slices on delete cascade,
    field    text not null,
    seen     text not null,
    rows     bigint not null check (rows > 0),
    primary key (slice_id, field, seen)
);
comment on table lake.slice_drift is 'Messages with a field that the contract does not know, or with a known one of another JSON type.';

create table lake.slice_profiles (
    slice_id bigint primary key references lake.slices on delete cascade,
    profile  jsonb not null
);
comment on table lake.slice_profiles is 'Counts of a slice that add up to a profile of its hour: nulls, values, ranges.';
    """)
