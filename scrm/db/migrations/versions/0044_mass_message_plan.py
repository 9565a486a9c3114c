"""When a mass message is to begin, and who agreed to a big one.

Revision ID: 0044
Revises: 0043
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("mass_message") as batch:
        batch.add_column(sa.Column("scheduled_at", sa.BigInteger()))
        batch.add_column(sa.Column("expected", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
        batch.add_column(sa.Column("decided_by", sa.String(64), nullable=False, server_default=sa.text("''")))
        batch.add_column(sa.Column("decided_at", sa.BigInteger()))
        batch.add_column(sa.Column("why", sa.String(300), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    with op.batch_alter_table("mass_message") as batch:
        for name in ("why", "decided_at", "decided_by", "expected", "scheduled_at"):
            batch.drop_column(name)
