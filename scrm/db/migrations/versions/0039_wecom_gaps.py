"""What WeCom refuses until an administrator has acted, and the work that waits for it; consent to archiving;
what goes with the answers of customer service.

Revision ID: 0039
Revises: 0037
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0039"
down_revision = "0037"
branch_labels = None
depends_on = None

_HELD = sa.text("held AND state = 2")


def upgrade() -> None:
    op.create_table(
        "wecom_stop",
        sa.Column("app_hash", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=120), nullable=False),
        sa.Column("errcode", sa.Integer(), nullable=False),
        sa.Column("errmsg", sa.String(length=300), nullable=False),
        sa.Column("path", sa.String(length=120), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_hash", "scope", name=op.f("pk_wecom_stop")),
    )
    op.add_column("work_item", sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("follow_user", sa.Column("archive_agreed_at", sa.BigInteger(), nullable=True))
    for table in ("kf_account", "keyword_reply"):
        op.add_column(table, sa.Column("attachment", Json, server_default=sa.text("'{}'"), nullable=False))
    op.create_index("ix_work_item_held", "work_item", ["id"], sqlite_where=_HELD, postgresql_where=_HELD)


def downgrade() -> None:
    op.drop_index("ix_work_item_held", table_name="work_item")
    for table in ("kf_account", "keyword_reply"):
        op.drop_column(table, "attachment")
    op.drop_column("follow_user", "archive_agreed_at")
    op.drop_column("work_item", "held")
    op.drop_table("wecom_stop")
