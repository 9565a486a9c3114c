"""Outgoing webhooks and their deliveries, and what the API answered to an Idempotency-Key.

Revision ID: 0032
Revises: 0031
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")
_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("url", sa.String(length=500), nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("secret_sealed", sa.Text(), nullable=False),
        sa.Column("hint", sa.String(length=8), server_default=_EMPTY, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("paused_why", sa.String(length=300), server_default=_EMPTY, nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=True),
        sa.Column("refusals", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.String(length=100), server_default=_EMPTY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("said", sa.String(length=300), server_default=_EMPTY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name=op.f("fk_webhook_delivery_webhook_id_webhook"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index("uq_webhook_delivery_event", "webhook_delivery", ["webhook_id", "event_id"], unique=True)
    op.create_index("ix_webhook_delivery_log", "webhook_delivery", ["webhook_id", "id"])
    op.create_index("ix_webhook_delivery_state", "webhook_delivery", ["webhook_id", "state", "id"])
    op.create_index(
        "ix_webhook_delivery_waiting",
        "webhook_delivery",
        ["webhook_id", "event_id"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index("ix_webhook_delivery_created_at", "webhook_delivery", ["created_at"])
    op.create_table(
        "api_answer",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("body_sealed", sa.Text(), server_default=_EMPTY, nullable=False),
        sa.Column("content_type", sa.String(length=80), server_default=_EMPTY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_api_answer")),
    )
    op.create_index("ix_api_answer_created_at", "api_answer", ["created_at"])


def downgrade() -> None:
    op.drop_table("api_answer")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
