"""Forms of the sidebar that are sent twice; remarks that WeCom has not been told yet.

Revision ID: 0040
Revises: 0039
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json, UtcDateTime

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "form_made",
        sa.Column("once", sa.String(32), nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("once", name=op.f("pk_form_made")),
    )
    op.create_index("ix_form_made_made_at", "form_made", ["made_at"])
    op.create_table(
        "remark_wish",
        sa.Column("userid", sa.String(64), nullable=False),
        sa.Column("external_userid", sa.String(64), nullable=False),
        sa.Column("changes", Json, nullable=False),
        sa.Column("problem", sa.String(300), nullable=False, server_default=sa.text("''")),
        sa.Column("turn", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("wanted_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("userid", "external_userid", name=op.f("pk_remark_wish")),
    )


def downgrade() -> None:
    op.drop_table("remark_wish")
    op.drop_index("ix_form_made_made_at", "form_made")
    op.drop_table("form_made")
