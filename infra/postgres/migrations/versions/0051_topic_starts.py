"""Where each Kafka partition began to be read, kept from the topic's first look on."""

from alembic import op

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    op.execute("""
create table lake.topic_starts (
    topic_id        text not null references lake.topics,
    kafka_partition int not null,
    start_offset    bigint not null,
    primary key (topic_id, kafka_partition)
);
comment on table lake.topic_starts is
    'Where reading began, as the topic was first seen or adopted; a partition that came later begins at 0.';
insert into lake.topic_starts
select topic_id, kafka_partition, min(start_offset) from lake.slice_ranges group by 1, 2;
insert into lake.topic_starts
select topic_id, kafka_partition, position from lake.topic_progress on conflict do nothing;
    """)
