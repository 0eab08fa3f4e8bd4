"""Every slice that touched a minute is remembered, so that a held one keeps the minute back whoever came after."""

from alembic import op

revision = "0050"
down_revision = "0010"


def upgrade() -> None:
    op.execute("""
alter table lake.dirty_minutes drop constraint dirty_minutes_pkey, add primary key (minute, slice_id);
    """)
