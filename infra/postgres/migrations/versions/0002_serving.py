"""What is served: KPIs by minute, alerts, and how far both can be trusted."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
create schema serving;

create table serving.kpi_minute (
    window_start timestamptz not null check (window_start = date_trunc('minute', window_start, 'UTC')),
    metric       text not null,
    value        numeric not null,
    updated_at   timestamptz not null default now(),
    revision     int not null default 1,
    primary key (window_start, metric)
);
comment on column serving.kpi_minute.revision is 'How often the value changed; 1 for the first. Deleted minutes start anew.';
create index kpi_minute_by_metric on serving.kpi_minute (metric, window_start) include (value);
create index kpi_minute_by_update on serving.kpi_minute (updated_at);

create table serving.alerts (
    alert_id        text primary key,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    window_start    timestamptz not null,
    last_window     timestamptz not null,
    metric          text not null,
    value           numeric,
    baseline        numeric,
    score           double precision,
    severity        text not null check (severity in ('warn', 'critical')),
    state           text not null default 'open' check (state in ('open', 'resolved', 'retracted')),
    rule_name       text not null,
    resolved_at     timestamptz,
    retracted_at    timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    details         jsonb not null default '{}'
);
comment on column serving.alerts.window_start is 'The first minute of the incident; last_window is its latest.';
create index alerts_by_time on serving.alerts (created_at desc, alert_id);
create index alerts_open on serving.alerts (metric, window_start) where state = 'open';

create view serving.freshness as
select lake.reached_gold_at() as reached_gold_at, looked_at, paused_by is not null as paused, blocked from lake.looks;
comment on view serving.freshness is
    'A minute is closed when its end plus the grace is not after reached_gold_at; before that it is provisional.';

grant usage on schema serving, lake to lakehouse_api;
grant select on all tables in schema serving, lake to lakehouse_api;
alter default privileges in schema serving grant select on tables to lakehouse_api;
alter default privileges in schema lake grant select on tables to lakehouse_api;
grant update (acknowledged_at, acknowledged_by) on serving.alerts to lakehouse_api;
    """)
