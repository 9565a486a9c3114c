"""How often a key may ask, counted for all processes; whose customers it reaches; sends in trouble.

Revision ID: 0041
Revises: 0040
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_rate",
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("full_at_ms", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    in_trouble = sa.text("outcome IN ('failed', 'too_late', 'unknown')")
    op.create_index("ix_send_trouble", "send", ["decided_at"], sqlite_where=in_trouble, postgresql_where=in_trouble)
    with op.batch_alter_table("api_key") as batch:
        batch.add_column(sa.Column("reach", sa.String(12), nullable=False, server_default=sa.text("'all'")))
        batch.add_column(sa.Column("userid", sa.String(64), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    with op.batch_alter_table("api_key") as batch:
        batch.drop_column("userid")
        batch.drop_column("reach")
    op.drop_index("ix_send_trouble", table_name="send")
    op.drop_table("api_rate")
