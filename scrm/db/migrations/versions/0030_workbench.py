"""What the workbench keeps: marks, the ends of order numbers and phones, and the indexes of a member's day.

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_task_ended_at", "task", ["userid", "ended_at"], "ended_at IS NOT NULL"),
    (
        "ix_send_missed_welcome",
        "send",
        ["userid", "decided_at"],
        "kind = 'welcome' AND outcome IN ('failed', 'too_late', 'unknown')",
    ),
    ("ix_follow_user_lost", "follow_user", ["userid", "ended_at"], "ended_by = 'customer'"),
    ("ix_orders_waiting_no_tail", "orders", ["no_tail"], "person_id IS NULL AND no_tail <> ''"),
    ("ix_orders_waiting_phone_tail", "orders", ["phone_tail"], "person_id IS NULL AND phone_tail <> ''"),
)


def upgrade() -> None:
    op.create_table(
        "today_mark",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=8), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("marked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("userid", "about", "external_userid", name=op.f("pk_today_mark")),
    )
    for name in ("no_tail", "phone_tail"):
        op.add_column("orders", sa.Column(name, sa.String(length=4), server_default=sa.text("''"), nullable=False))
    _fill()
    for name, table, columns, where in _PARTIAL:
        op.create_index(
            name, table, columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )
    op.create_index("ix_follow_user_new", "follow_user", ["userid", "followed_at"], unique=False)


def _fill() -> None:
    """Of orders that wait for their person; the others are never looked for by their end."""
    stars = (
        "strpos(receiver_mask, '****')"
        if op.get_bind().dialect.name == "postgresql"
        else "instr(receiver_mask, '****')"
    )
    op.execute(
        "UPDATE orders SET no_tail = lower(substr(order_no, length(order_no) - 3)) "
        "WHERE person_id IS NULL AND length(order_no) >= 4"
    )
    # "张** 138****6620 上海市": four figures behind four stars.
    end = f"substr(receiver_mask, {stars} + 4, 4)"
    op.execute(
        f"UPDATE orders SET phone_tail = {end} WHERE person_id IS NULL AND {stars} > 0 "  # noqa: S608 - own words
        f"AND length(trim({end}, '0123456789')) = 0 AND length({end}) = 4"
    )


def downgrade() -> None:
    op.drop_index("ix_follow_user_new", table_name="follow_user")
    for name, table, _, _ in reversed(_PARTIAL):
        op.drop_index(name, table_name=table)
    op.drop_column("orders", "phone_tail")
    op.drop_column("orders", "no_tail")
    op.drop_table("today_mark")
