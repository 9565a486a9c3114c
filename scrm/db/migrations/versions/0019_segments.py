"""Segments and who is in them.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# Indexes that now hold all that counting a segment reads.
_COVERING = (
    (
        "ix_follow_user_external_userid",
        "follow_user",
        ["external_userid"],
        ["external_userid", "userid", "ended_by", "person_id"],
    ),
    ("ix_follow_user_tag_tag_id", "follow_user_tag", ["tag_id"], ["tag_id", "external_userid", "userid"]),
    ("ix_event_name", "event", ["name", "occurred_at"], ["name", "occurred_at", "person_id"]),
)


def upgrade() -> None:
    op.create_table(
        "segment",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("condition", Json, nullable=True),
        sa.Column("is_exclusion", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("template", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("members", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("computed_at", sa.BigInteger(), nullable=True),
        sa.Column("tells_first", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("refresh_seconds", sa.Integer(), server_default=sa.text("300"), nullable=False),
        sa.Column("refresh_at", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_segment")),
    )
    op.create_index("ix_segment_refresh_at", "segment", ["refresh_at"], unique=False)
    op.create_table(
        "segment_member",
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, autoincrement=False, nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["segment_key"], ["segment.key"], name=op.f("fk_segment_member_segment_key")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_segment_member_person_id")),
        sa.PrimaryKeyConstraint("segment_key", "person_id", name=op.f("pk_segment_member")),
    )
    op.create_index("ix_segment_member_person_id", "segment_member", ["person_id"], unique=False)
    for name, table, _, wider in _COVERING:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, wider, unique=False)


def downgrade() -> None:
    for name, table, before, _ in _COVERING:
        op.drop_index(name, table_name=table)
        op.create_index(name, table, before, unique=False)
    op.drop_table("segment_member")
    op.drop_table("segment")
