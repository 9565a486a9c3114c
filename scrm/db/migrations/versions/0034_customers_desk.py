"""Views of the customer list, work on many customers, the pool, and the indexes by which customers are ordered.

Revision ID: 0034
Revises: 0033
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_PARTIAL: tuple[tuple[str, str, list[Any], str], ...] = (
    ("ix_person_stat_paid", "person_stat", ["paid_fen", "person_id"], "paid_fen > 0"),
    ("ix_person_stat_last_order", "person_stat", ["last_order_at", "person_id"], "last_order_at IS NOT NULL"),
    ("ix_person_stage", "person", ["stage", "id"], "stage <> ''"),
    ("ix_follow_user_state", "follow_user", ["state", "person_id"], "state <> ''"),
    (
        "ix_identity_phone_tail",
        "identity",
        [sa.text("substr(mask, length(mask) - 3)"), "person_id"],
        "kind = 'mobile_e164'",
    ),
)


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

    def words(name: str, length: int) -> sa.Column[str]:
        return sa.Column(name, sa.String(length=length), server_default=sa.text("''"), nullable=False)

    def number(name: str) -> sa.Column[int]:
        return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)

    op.create_table(
        "customer_view",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("userid", sa.String(length=100), nullable=False),
        sa.Column("title", sa.String(length=40), nullable=False),
        sa.Column("is_shared", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        words("query", 1000),
        sa.Column("columns", Json, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer_view")),
    )
    op.create_index("ix_customer_view_userid", "customer_view", ["userid"])
    op.create_table(
        "customer_columns",
        sa.Column("userid", sa.String(length=100), nullable=False),
        sa.Column("columns", Json, nullable=False),
        sa.PrimaryKeyConstraint("userid", name=op.f("pk_customer_columns")),
    )
    op.create_table(
        "bulk_job",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("selection", Json, nullable=False),
        sa.Column("choice", Json, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("below", sa.BigInteger(), nullable=True),
        number("total"),
        number("done"),
        number("refused"),
        words("problem", 300),
        words("file", 120),
        sa.Column("by", sa.String(length=100), nullable=False),
        words("by_name", 80),
        sa.Column("reach", sa.String(length=16), nullable=False),
        sa.Column("once", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_job")),
        sa.UniqueConstraint("once", name=op.f("uq_bulk_job_once")),
    )
    op.create_table(
        "bulk_item",
        sa.Column("job_id", big, nullable=False),
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), server_default=sa.text("'waiting'"), nullable=False),
        words("userid", 64),
        words("reason", 200),
        sa.ForeignKeyConstraint(["job_id"], ["bulk_job.id"], name=op.f("fk_bulk_item_job_id_bulk_job")),
        sa.PrimaryKeyConstraint("job_id", "person_id", name=op.f("pk_bulk_item")),
    )
    op.create_index("ix_bulk_item_state", "bulk_item", ["job_id", "state", "person_id"])
    op.create_index("ix_bulk_item_person_id", "bulk_item", ["person_id"])
    op.create_table(
        "pool_rule",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("is_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("takes_ownerless", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("idle_days", sa.Integer(), nullable=True),
        sa.Column("picks_per_day", sa.Integer(), server_default=sa.text("20"), nullable=False),
        sa.Column("recycle_days", sa.Integer(), nullable=True),
        sa.Column("cursor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("walked_at", sa.BigInteger(), nullable=True),
        words("changed_by", 100),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_rule")),
    )
    op.create_table(
        "pool_entry",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(length=12), nullable=False),
        words("from_userid", 64),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_pool_entry")),
    )
    op.create_index("ix_pool_entry_entered_at", "pool_entry", ["entered_at", "person_id"])
    op.create_index("ix_pool_entry_reason", "pool_entry", ["reason", "entered_at", "person_id"])
    op.create_table(
        "pool_pick",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        words("by", 100),
        sa.Column("picked_at", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        words("ended_by", 16),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_pick")),
    )
    op.create_index("ix_pool_pick_userid", "pool_pick", ["userid", "picked_at"])
    op.create_index("ix_pool_pick_person_id", "pool_pick", ["person_id"])
    open_picks = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_pool_pick_look_at", "pool_pick", ["look_at"], sqlite_where=open_picks, postgresql_where=open_picks
    )
    for name, table, columns, where in _PARTIAL:
        op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, table, _, _ in reversed(_PARTIAL):
        op.drop_index(name, table_name=table)
    for table in (
        "pool_pick",
        "pool_entry",
        "pool_rule",
        "bulk_item",
        "bulk_job",
        "customer_columns",
        "customer_view",
    ):
        op.drop_table(table)
