"""Dates, schedules and what they have started.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "date_watch",
        sa.Column("date", sa.String(length=80), nullable=False),
        sa.Column("lunar", sa.Boolean(), nullable=False),
        sa.Column("yearly", sa.Boolean(), nullable=False),
        sa.Column("lead", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("told_until", sa.String(length=10), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("date", "lunar", "yearly", "lead", name=op.f("pk_date_watch")),
    )
    op.create_table(
        "schedule_fire",
        sa.Column("cron", sa.String(length=80), nullable=False),
        sa.Column("segment", sa.String(length=80), nullable=False),
        sa.Column("fire_at", sa.BigInteger(), nullable=False),
        sa.Column("after_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("told", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("cron", "segment", "fire_at", name=op.f("pk_schedule_fire")),
    )
    op.create_index("ix_follow_user_followed_at", "follow_user", ["followed_at"])
    op.create_index(
        "ix_person_stat_first_paid_at",
        "person_stat",
        ["first_paid_at"],
        sqlite_where=sa.text("first_paid_at IS NOT NULL"),
        postgresql_where=sa.text("first_paid_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_person_stat_first_paid_at", table_name="person_stat")
    op.drop_index("ix_follow_user_followed_at", table_name="follow_user")
    op.drop_table("schedule_fire")
    op.drop_table("date_watch")
