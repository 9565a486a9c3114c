"""What platforms pushed, and orders by their parent's number.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hook_message",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("message_key", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("topic", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("subject", sa.String(length=160), server_default=sa.text("('')"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("body_sealed", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'new'"), nullable=False),
        sa.Column("order_no", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("reason", sa.String(length=1000), server_default=sa.text("('')"), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hook_message")),
    )
    with op.batch_alter_table("hook_message", schema=None) as batch_op:
        batch_op.create_index("uq_hook_message_key", ["source", "message_key"], unique=True)
        batch_op.create_index("ix_hook_message_received_at", ["received_at"], unique=False)
        for name, columns, where in _PARTIAL:
            batch_op.create_index(
                name, columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
            )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        where = "parent_order_no <> ''"
        batch_op.create_index(
            "ix_orders_parent_order_no",
            ["parent_order_no"],
            unique=False,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )


_PARTIAL = (
    ("ix_hook_message_new", ["id"], "state = 'new'"),
    ("ix_hook_message_odd", ["id"], "state IN ('unreadable', 'failed')"),
    ("ix_hook_message_subject", ["source", "subject", "version"], "subject <> ''"),
)


def downgrade() -> None:
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index("ix_orders_parent_order_no")
    op.drop_table("hook_message")
