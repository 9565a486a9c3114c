"""The channel's own word for an after-sale case that we did not know, and where unknown states are found again.

Revision ID: 0048
Revises: 0047
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refund", sa.Column("raw_status", sa.String(80), nullable=False, server_default=sa.text("''")))
    strange = sa.text("status = 'unknown'")
    op.create_index(
        "ix_refund_strange", "refund", ["raw_status", "order_id"], sqlite_where=strange, postgresql_where=strange
    )
    strange = sa.text("status = 'unknown' AND raw_status <> ''")
    op.create_index("ix_orders_strange", "orders", ["raw_status", "id"], sqlite_where=strange, postgresql_where=strange)


def downgrade() -> None:
    op.drop_index("ix_orders_strange", table_name="orders")
    op.drop_index("ix_refund_strange", table_name="refund")
    with op.batch_alter_table("refund") as batch:
        batch.drop_column("raw_status")
