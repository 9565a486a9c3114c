"""Fifteen days of a source are read once more in turns.

Revision ID: 0057
Revises: 0056
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("review_since", "review_until", "reviewed_at"):
        op.add_column("pull_cursor", sa.Column(name, sa.BigInteger()))


def downgrade() -> None:
    for name in ("review_since", "review_until", "reviewed_at"):
        op.drop_column("pull_cursor", name)
