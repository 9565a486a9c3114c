"""The province an order went to, in clear beside the sealed address; purchases in the order of their buyers.

Revision ID: 0042
Revises: 0041
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("province", sa.String(12), nullable=False, server_default=sa.text("''")))
    bought = sa.text(
        "paid_at IS NOT NULL AND paid_fen > 0 AND NOT is_test AND payment_status <> 'partially_paid'"
        " AND person_id IS NOT NULL"
    )
    op.create_index(
        "ix_orders_buyer", "orders", ["person_id", "paid_at"], sqlite_where=bought, postgresql_where=bought
    )


def downgrade() -> None:
    op.drop_index("ix_orders_buyer", table_name="orders")
    op.drop_column("orders", "province")
