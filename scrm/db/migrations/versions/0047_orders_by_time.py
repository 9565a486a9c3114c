"""Orders by when they were placed.

Revision ID: 0047
Revises: 0046
"""

from __future__ import annotations

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_ordered_at", "orders", ["ordered_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_orders_ordered_at", table_name="orders")
