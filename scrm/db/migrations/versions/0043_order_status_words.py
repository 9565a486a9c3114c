"""Words for an order's status that a source uses and we did not know, and what a manager says they mean.

Revision ID: 0043
Revises: 0042
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_status_word",
        sa.Column("source", sa.String(80), primary_key=True),
        sa.Column("word", sa.String(80), primary_key=True),
        sa.Column("status", sa.String(24), nullable=False, server_default=sa.text("''")),
        sa.Column("seen", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("order_no", sa.String(80), nullable=False, server_default=sa.text("''")),
        sa.Column("taken_as", sa.String(24), nullable=False, server_default=sa.text("''")),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("mapped_by", sa.String(64), nullable=False, server_default=sa.text("''")),
    )


def downgrade() -> None:
    op.drop_table("order_status_word")
