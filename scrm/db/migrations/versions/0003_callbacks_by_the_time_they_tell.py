"""Callbacks are unique by the time they tell and their digest, and work names them by their id."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("inbox_event") as batch:
        batch.add_column(sa.Column("told_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        batch.drop_constraint("uq_inbox_event_digest", type_="unique")
        batch.create_index("uq_inbox_event_told", ["told_at", "digest"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        payload = "jsonb_build_object('inbox', kept.id)"
        is_same = "kept.digest = decode(work_item.payload ->> 'digest', 'hex')"
    else:
        payload = "json_object('inbox', kept.id)"
        is_same = "hex(kept.digest) = upper(json_extract(work_item.payload, '$.digest'))"
    op.execute(
        f"UPDATE work_item SET payload = {payload} FROM inbox_event AS kept"  # noqa: S608 - the texts above
        f" WHERE work_item.kind = 'callback' AND {is_same}"
    )
