"""Departments, who serves customers, and runs of the sync.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _members()
    _runs()
    op.create_table(
        "missed_callback",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("happened_at", sa.BigInteger(), nullable=True),
        sa.Column("noticed_at", sa.BigInteger(), nullable=False),
        sa.Column("repaired_at", sa.BigInteger(), nullable=True),
        sa.Column("facts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_missed_callback")),
    )
    op.create_index("ix_missed_callback_noticed_at", "missed_callback", ["noticed_at"])


def _members() -> None:
    op.create_table(
        "department",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("parent_id", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sort_order", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_department")),
    )
    op.create_table(
        "member_department",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("department_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("userid", "department_id", name=op.f("pk_member_department")),
    )
    op.create_index("ix_member_department_department_id", "member_department", ["department_id"])
    op.create_table(
        "customer_contact_member",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("watched_since", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("userid", name=op.f("pk_customer_contact_member")),
    )


def _runs() -> None:
    op.create_table(
        "sync_run",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("is_full", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        *(
            sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False)
            for name in ("total", "done", "added", "changed", "ended")
        ),
        sa.Column("notes", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("error", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("holder", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_run")),
    )
    op.create_index("ix_sync_run_source", "sync_run", ["source", "id"])
    op.create_index(
        "uq_sync_run_running",
        "sync_run",
        ["source"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "sync_part",
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("userids", Json, nullable=False),
        sa.Column("cursor", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_over", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("planned_at", sa.BigInteger(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "number", name=op.f("pk_sync_part")),
    )
    op.create_table(
        "sync_night",
        sa.Column("night", sa.String(length=10), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("night", name=op.f("pk_sync_night")),
    )
