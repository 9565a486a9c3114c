"""Who opened a radar content, the latest first, is read from an index.

Revision ID: 0052
Revises: 0051
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    opened = sa.text("opens > 0")
    columns = ["content_id", "last_opened_at", "id"]
    op.create_index("ix_radar_link_opened", "radar_link", columns, sqlite_where=opened, postgresql_where=opened)


def downgrade() -> None:
    op.drop_index("ix_radar_link_opened", table_name="radar_link")
