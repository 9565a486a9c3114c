"""Visitors and what they do, radar links, the shop's own kinds of events.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "visitor",
        sa.Column("anonymous_id", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("switched_at", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("anonymous_id", name=op.f("pk_visitor")),
    )
    op.create_table(
        "visitor_claim",
        sa.Column("anonymous_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=80), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.Column("claimed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("anonymous_id", "kind", "scope", "value", name=op.f("pk_visitor_claim")),
    )
    op.create_index("ix_visitor_claim_value", "visitor_claim", ["kind", "scope", "value"], unique=False)
    op.create_index("ix_visitor_claim_claimed_at", "visitor_claim", ["claimed_at"], unique=False)
    op.create_table(
        "tracked_event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("anonymous_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("session_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("sku", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracked_event")),
        sa.UniqueConstraint("event_id", name=op.f("uq_tracked_event_event_id")),
    )
    op.create_index("ix_tracked_event_anonymous_id", "tracked_event", ["anonymous_id", "occurred_at"], unique=False)
    op.create_index("ix_tracked_event_person_id", "tracked_event", ["person_id", "occurred_at"], unique=False)
    op.create_index("ix_tracked_event_received_at", "tracked_event", ["received_at"], unique=False)
    op.create_table(
        "radar_content",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("url", sa.String(length=1000), nullable=False),
        sa.Column("is_archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_radar_content")),
        sa.UniqueConstraint("key", name=op.f("uq_radar_content_key")),
    )
    op.create_table(
        "radar_link",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("content_id", BigId, nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("first_opened_at", sa.BigInteger(), nullable=True),
        sa.Column("last_opened_at", sa.BigInteger(), nullable=True),
        sa.Column("opens", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["radar_content.id"], name=op.f("fk_radar_link_content_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_radar_link")),
        sa.UniqueConstraint("token", name=op.f("uq_radar_link_token")),
    )
    op.create_index("uq_radar_link_whom", "radar_link", ["content_id", "userid", "person_id"], unique=True)
    op.create_index("ix_radar_link_person_id", "radar_link", ["person_id"], unique=False)
    op.create_table(
        "radar_open",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("link_id", BigId, nullable=False),
        sa.Column("view", sa.String(length=32), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["link_id"], ["radar_link.id"], name=op.f("fk_radar_open_link_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_radar_open")),
        sa.UniqueConstraint("view", name=op.f("uq_radar_open_view")),
    )
    op.create_index("ix_radar_open_link_id", "radar_open", ["link_id", "opened_at"], unique=False)
    op.create_table(
        "event_type",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=60), nullable=False),
        sa.Column("sentence", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_type")),
    )


def downgrade() -> None:
    for table in (
        "event_type",
        "radar_open",
        "radar_link",
        "radar_content",
        "tracked_event",
        "visitor_claim",
        "visitor",
    ):
        op.drop_table(table)
