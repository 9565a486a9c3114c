"""Customers and groups that go from one member to another.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "transfer",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("resigned", sa.Boolean(), nullable=False),
        sa.Column("handover_userid", sa.String(length=64), nullable=False),
        sa.Column("takeover_userid", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
    )
    op.create_table(
        "transfer_customer",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("handover_userid", sa.String(length=64), nullable=False),
        sa.Column("takeover_userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("takeover_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfer.id"], name=op.f("fk_transfer_customer_transfer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_customer")),
    )
    with op.batch_alter_table("transfer_customer", schema=None) as batch_op:
        batch_op.create_index("ix_transfer_customer_contact", ["external_userid", "takeover_userid"], unique=False)
        batch_op.create_index("ix_transfer_customer_transfer_id", ["transfer_id", "state"], unique=False)
        batch_op.create_index(
            "uq_transfer_customer_open",
            ["handover_userid", "external_userid"],
            unique=True,
            sqlite_where=sa.text("state IN ('pending', 'asking', 'waiting')"),
            postgresql_where=sa.text("state IN ('pending', 'asking', 'waiting')"),
        )

    op.create_table(
        "transfer_group",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("transfer_id", BigId, nullable=False),
        sa.Column("handover_userid", sa.String(length=64), nullable=False),
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfer.id"], name=op.f("fk_transfer_group_transfer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer_group")),
    )
    with op.batch_alter_table("transfer_group", schema=None) as batch_op:
        batch_op.create_index("ix_transfer_group_owner", ["handover_userid", "asked_at"], unique=False)
        batch_op.create_index("ix_transfer_group_transfer_id", ["transfer_id", "state"], unique=False)

    op.create_table(
        "unassigned_contact",
        sa.Column("handover_userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("dimission_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("handover_userid", "external_userid", name=op.f("pk_unassigned_contact")),
    )


def downgrade() -> None:
    op.drop_table("unassigned_contact")
    with op.batch_alter_table("transfer_group", schema=None) as batch_op:
        batch_op.drop_index("ix_transfer_group_owner")
        batch_op.drop_index("ix_transfer_group_transfer_id")

    op.drop_table("transfer_group")
    with op.batch_alter_table("transfer_customer", schema=None) as batch_op:
        batch_op.drop_index("ix_transfer_customer_contact")
        batch_op.drop_index("ix_transfer_customer_transfer_id")
        batch_op.drop_index(
            "uq_transfer_customer_open",
            sqlite_where=sa.text("state IN ('pending', 'asking', 'waiting')"),
            postgresql_where=sa.text("state IN ('pending', 'asking', 'waiting')"),
        )

    op.drop_table("transfer_customer")
    op.drop_table("transfer")
