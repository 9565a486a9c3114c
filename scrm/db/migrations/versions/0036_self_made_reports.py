"""Reports that answer at once, channels' costs, and reports that people make themselves.

Revision ID: 0036
Revises: 0035
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json, UtcDateTime

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

IS_PAID = sa.text("paid_at IS NOT NULL")
IS_PURCHASE = sa.text("paid_at IS NOT NULL AND paid_fen > 0 AND NOT is_test AND payment_status <> 'partially_paid'")


def _fen(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    op.create_table(
        "order_hour",
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.String(24), nullable=False),
        _fen("orders"),
        _fen("paid_fen"),
        _fen("refunded_fen"),
        sa.PrimaryKeyConstraint("hour", "channel", name=op.f("pk_order_hour")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO order_hour (hour, channel, orders, paid_fen, refunded_fen)"  # noqa: S608 - own words
        " SELECT paid_at / 3600000, channel, count(*), sum(paid_fen), sum(refunded_fen) FROM orders"
        f" WHERE {IS_PURCHASE.text} GROUP BY paid_at / 3600000, channel"
    )
    # Only purchases are looked for by the time they were paid.
    op.drop_index("ix_orders_paid_at", "orders")
    op.create_index(
        "ix_orders_purchase", "orders", ["paid_at", "person_id"], sqlite_where=IS_PURCHASE, postgresql_where=IS_PURCHASE
    )
    op.create_index("ix_coupon_issue_issued_at", "coupon_issue", ["issued_at", "batch_key"])
    op.create_index("ix_way_add_person_id", "way_add", ["person_id", "added_at"])
    op.create_table(
        "report_add",
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("added_at", UtcDateTime(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("userid", sa.String(64), nullable=False),
        sa.Column("lost_at", UtcDateTime()),
        sa.Column("earlier_at", UtcDateTime()),
        sa.Column("talked_at", UtcDateTime()),
        sa.Column("entered_at", UtcDateTime()),
        sa.Column("bought_at", UtcDateTime()),
        sa.Column("again_at", UtcDateTime()),
        sa.Column("paid_at", UtcDateTime()),
        _fen("net_fen"),
        _fen("net_30_fen"),
        _fen("net_90_fen"),
        sa.PrimaryKeyConstraint("state", "added_at", "event_id", name=op.f("pk_report_add")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_report_add_person_id", "report_add", ["person_id"])
    op.create_table(
        "report_cursor",
        sa.Column("name", sa.String(24), nullable=False),
        sa.Column("at_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_report_cursor")),
    )
    op.create_table(
        "channel_cost",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("state", sa.String(64), nullable=False),
        sa.Column("first_day", sa.String(10), nullable=False),
        sa.Column("last_day", sa.String(10), nullable=False),
        _fen("cost_fen"),
        sa.Column("note", sa.String(80), nullable=False, server_default=sa.text("''")),
        sa.Column("created_by", sa.String(80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_cost")),
    )
    op.create_index("ix_channel_cost_state", "channel_cost", ["state", "first_day"])
    op.create_table(
        "saved_report",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("title", sa.String(40), nullable=False),
        sa.Column("question", Json, nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_report")),
    )
    op.create_index("ix_saved_report_owner", "saved_report", ["owner"])
    op.create_table(
        "report_pin",
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("report_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "report_id", name=op.f("pk_report_pin")),
    )


def downgrade() -> None:
    for table in ("report_pin", "saved_report", "channel_cost", "report_cursor", "report_add", "order_hour"):
        op.drop_table(table)
    op.drop_index("ix_way_add_person_id", "way_add")
    op.drop_index("ix_coupon_issue_issued_at", "coupon_issue")
    op.drop_index("ix_orders_purchase", "orders")
    op.create_index(
        "ix_orders_paid_at", "orders", ["paid_at", "person_id"], sqlite_where=IS_PAID, postgresql_where=IS_PAID
    )
