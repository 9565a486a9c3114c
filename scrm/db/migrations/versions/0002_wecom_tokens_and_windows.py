"""WeCom's tokens and rate windows, shared by all processes.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wecom_allowance",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "slot", name=op.f("pk_wecom_allowance")),
    )
    with op.batch_alter_table("wecom_allowance", schema=None) as batch_op:
        batch_op.create_index("ix_wecom_allowance_ends", ["ends"], unique=False)

    op.create_table(
        "wecom_token",
        sa.Column("name_hash", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sealed", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_until", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name_hash", name=op.f("pk_wecom_token")),
    )


def downgrade() -> None:
    op.drop_table("wecom_token")
    op.drop_table("wecom_allowance")
