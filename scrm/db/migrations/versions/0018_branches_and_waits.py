"""What a run waits for, and where it stands.

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_NO_TEXT = sa.text("''")


def upgrade() -> None:
    # Plain columns with plain defaults: neither database copies the table.
    for column in (
        sa.Column("counted_from", sa.BigInteger(), nullable=True),
        sa.Column("awaits", sa.String(length=48), server_default=_NO_TEXT, nullable=False),
        sa.Column("is_holdout", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("held_reason", sa.String(length=200), server_default=_NO_TEXT, nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("pass_number", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("arms", Json, server_default=sa.text("'{}'"), nullable=False),
    ):
        op.add_column("enrolment", column)


def downgrade() -> None:
    with op.batch_alter_table("enrolment", schema=None) as batch_op:
        for name in ("arms", "pass_number", "paused_at", "held_reason", "is_holdout", "awaits", "counted_from"):
            batch_op.drop_column(name)
