"""What reports count by: orders by the time they were paid.

Revision ID: 0031
Revises: 0030
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

IS_PAID = sa.text("paid_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_orders_paid_at", "orders", ["paid_at", "person_id"], sqlite_where=IS_PAID, postgresql_where=IS_PAID
    )


def downgrade() -> None:
    op.drop_index("ix_orders_paid_at", "orders")
