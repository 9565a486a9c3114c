"""Rehearsals and what they found.

Revision ID: 0026
Revises: 0025
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rehearsal",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("terms", Json, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("share", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("summary", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("problem", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("asked_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rehearsal")),
    )
    op.create_index("ix_rehearsal_playbook_key", "rehearsal", ["playbook_key", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_rehearsal_playbook_key", table_name="rehearsal")
    op.drop_table("rehearsal")
