"""The picture in the middle of our own QR codes, set by a manager.

Revision ID: 0053
Revises: 0052
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import UtcDateTime

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "qr_logo",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("set_by", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("set_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["media_original.sha256"], name=op.f("fk_qr_logo_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qr_logo")),
    )


def downgrade() -> None:
    op.drop_table("qr_logo")
