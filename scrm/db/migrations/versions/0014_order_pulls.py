"""Orders that we ask for, where parcels are, and what RFM counts of each person.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pull_cursor",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("stream", sa.String(length=24), nullable=False),
        sa.Column("reached_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("succeeded_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.String(length=500), server_default=sa.text("('')"), nullable=False),
        sa.Column("counts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("newest_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("source", "stream", name=op.f("pk_pull_cursor")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pull_part",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("order_no", sa.String(length=80), nullable=False),
        sa.Column("part_key", sa.String(length=80), nullable=False),
        sa.Column("standing", sa.String(length=12), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "order_no", "part_key", name=op.f("pk_pull_part")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pull_reject",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("stream", sa.String(length=24), nullable=False),
        sa.Column("record_key", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("noticed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pull_reject")),
    )
    op.create_index("uq_pull_reject_record", "pull_reject", ["source", "stream", "record_key"], unique=True)
    op.create_table(
        "pull_token",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_pull_token")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("shipment") as batch:
        batch.add_column(sa.Column("state", sa.String(length=20), server_default=sa.text("('')"), nullable=False))
        batch.add_column(sa.Column("state_at", sa.BigInteger(), nullable=True))
    _kept()


def _kept() -> None:
    """The new totals, counted once from the orders as scrm.commerce.totals counts them."""
    op.add_column("person_stat", sa.Column("kept_orders", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("person_stat", sa.Column("kept_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("person_stat", sa.Column("last_kept_at", sa.BigInteger(), nullable=True))
    kept = (
        "FROM orders WHERE orders.person_id = person_stat.person_id AND orders.paid_at IS NOT NULL AND NOT orders.is_test"
        " AND orders.payment_status <> 'partially_paid' AND orders.paid_fen > orders.refunded_fen AND orders.paid_fen > 0"
    )
    op.execute(
        f"UPDATE person_stat SET kept_orders = (SELECT COUNT(*) {kept}),"  # noqa: S608 - own words
        f" kept_fen = (SELECT COALESCE(SUM(orders.paid_fen - orders.refunded_fen), 0) {kept}),"
        f" last_kept_at = (SELECT MAX(orders.paid_at) {kept})"
    )


def downgrade() -> None:
    for name in ("kept_orders", "kept_fen", "last_kept_at"):
        with op.batch_alter_table("person_stat") as batch:
            batch.drop_column(name)
    with op.batch_alter_table("shipment") as batch:
        batch.drop_column("state")
        batch.drop_column("state_at")
    for name in ("pull_token", "pull_reject", "pull_part", "pull_cursor"):
        op.drop_table(name)
