"""Who writes a draft at the moment, and what managers did with single runs by hand.

Revision ID: 0037
Revises: 0036
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), server_default=sa.text("''"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "draft_lock",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("wrote_at", sa.BigInteger(), nullable=False),
        _text("taken_from", 64),
        _text("word", 200),
        sa.PrimaryKeyConstraint("playbook_key", name=op.f("pk_draft_lock")),
    )
    op.create_table(
        "run_act",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("enrolment_id", BigId, nullable=False),
        sa.Column("act", sa.String(length=8), nullable=False),
        _text("step_id", 64),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("before", Json, nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_run_act_enrolment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_act")),
    )
    op.create_index("ix_run_act_enrolment_id", "run_act", ["enrolment_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_run_act_enrolment_id", table_name="run_act")
    op.drop_table("run_act")
    op.drop_table("draft_lock")
