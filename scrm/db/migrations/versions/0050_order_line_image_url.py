"""The picture of what was bought.

Revision ID: 0050
Revises: 0049
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_line", sa.Column("image_url", sa.String(500), server_default=sa.text("''"), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("order_line") as batch:
        batch.drop_column("image_url")
