"""What the detector knows between two calls, what it scored, and what is to be sent out."""

from alembic import op

revision = "0010"
down_revision = "0030"


def upgrade() -> None:
    op.execute("""
create table serving.detector_position (
    rule_name    text primary key,
    first_minute timestamptz not null,
    next_minute  timestamptz not null check (next_minute >= first_minute),
    alerts_from  timestamptz not null,
    parameters   jsonb not null,
    updated_at   timestamptz not null default now()
);
comment on table serving.detector_position is
    'Up to where a rule has scored: every closed minute from first_minute to before next_minute, once, in order.';

comment on column serving.detector_position.alerts_from is 'Minutes before this one only teach; they raise no alert.';

create table serving.detector_snapshots (
    rule_name   text not null references serving.detector_position on delete cascade,
    next_minute timestamptz not null,
    part        text not null,
    state       jsonb not null,
    primary key (rule_name, next_minute, part)
);
comment on table serving.detector_snapshots is
    'What a rule knew before next_minute: a part for each metric and one for the incidents. Minutes that change '
    'after they were scored are scored again from the snapshot before them.';

create table serving.scored_minutes (
    rule_name    text not null references serving.detector_position on delete cascade,
    metric       text not null,
    window_start timestamptz not null,
    value        numeric,
    support      numeric,
    baseline     double precision,
    lower        double precision,
    upper        double precision,
    score        double precision not null,
    severity     text not null check (severity in ('none', 'warn', 'critical')),
    reason       text not null,
    times        int not null default 1,
    scored_at    timestamptz not null default now(),
    primary key (rule_name, metric, window_start)
);
comment on table serving.scored_minutes is
    'The verdict on every minute and metric, with the value that was judged; times: how often, after late data.';
create index scored_minutes_by_time on serving.scored_minutes (window_start);

create table serving.pipeline_watch (
    only_row       boolean primary key default true check (only_row),
    watched_at     timestamptz not null default now(),
    watching_since timestamptz not null default now()
);
comment on table serving.pipeline_watch is
    'Since when somebody has looked without a break whether the pipeline is late; after a break it gets time to catch up.';
insert into serving.pipeline_watch default values;

create table serving.outbox (
    message_id      bigint generated always as identity primary key,
    dedupe_key      text unique,
    kind            text not null,
    subject         text not null,
    text            text not null,
    body            jsonb not null,
    created_at      timestamptz not null default now(),
    attempts        int not null default 0,
    next_attempt_at timestamptz not null default now(),
    last_error      text,
    delivered_at    timestamptz,
    given_up_at     timestamptz
);
comment on table serving.outbox is 'Messages for the webhook: written with what they tell of, sent afterwards.';
create index outbox_waiting on serving.outbox (next_attempt_at)
    where delivered_at is null and given_up_at is null;
revoke all on serving.outbox from lakehouse_api;
    """)
