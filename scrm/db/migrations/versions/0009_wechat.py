"""Customer service, followers of the Official Account, and replies by keyword.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kf_account",
        sa.Column("open_kfid", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("avatar", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("welcome", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("unanswered", sa.String(length=8), server_default=sa.text("'pool'"), nullable=False),
        sa.Column("managed", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("cursor", sa.String(length=128), server_default=sa.text("('')"), nullable=False),
        sa.Column("drained_at", sa.BigInteger(), nullable=True),
        sa.Column("link", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("open_kfid", name=op.f("pk_kf_account")),
    )
    op.create_table(
        "kf_message",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("msgid", sa.String(length=64), nullable=False),
        sa.Column("open_kfid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.SmallInteger(), nullable=False),
        sa.Column("msgtype", sa.String(length=32), nullable=False),
        sa.Column("servicer_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column(
            "content",
            Json,
            nullable=False,
        ),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kf_message")),
        sa.UniqueConstraint("msgid", name=op.f("uq_kf_message_msgid")),
    )
    with op.batch_alter_table("kf_message", schema=None) as batch_op:
        batch_op.create_index("ix_kf_message_visitor", ["open_kfid", "external_userid", "sent_at"], unique=False)

    op.create_table(
        "kf_visitor",
        sa.Column("open_kfid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("last_customer_at", sa.BigInteger(), nullable=True),
        sa.Column("sent_since", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("service_state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("servicer_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("scene", sa.String(length=128), server_default=sa.text("('')"), nullable=False),
        sa.Column("entered_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("open_kfid", "external_userid", name=op.f("pk_kf_visitor")),
    )
    with op.batch_alter_table("kf_visitor", schema=None) as batch_op:
        batch_op.create_index("ix_kf_visitor_changed_at", ["changed_at"], unique=False)

    op.create_table(
        "keyword_reply",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("keyword", sa.String(length=60), nullable=False),
        sa.Column("match", sa.String(length=8), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=4), server_default=sa.text("'both'"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("hits", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyword_reply")),
    )
    with op.batch_alter_table("keyword_reply", schema=None) as batch_op:
        batch_op.create_index("uq_keyword_reply_keyword", ["channel", "match", "keyword"], unique=True)

    op.create_table(
        "oa_follower",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("openid", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("unionid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("subscribed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("subscribed_at", sa.BigInteger(), nullable=True),
        sa.Column("unsubscribed_at", sa.BigInteger(), nullable=True),
        sa.Column("scene", sa.String(length=128), server_default=sa.text("('')"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "openid", name=op.f("pk_oa_follower")),
    )
    with op.batch_alter_table("oa_follower", schema=None) as batch_op:
        batch_op.create_index("ix_oa_follower_changed_at", ["changed_at"], unique=False)
        batch_op.create_index("ix_oa_follower_person_id", ["person_id"], unique=False)

    op.create_table(
        "oa_message",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("once", sa.String(length=200), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("openid", sa.String(length=64), nullable=False),
        sa.Column("msgtype", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column(
            "content",
            Json,
            nullable=False,
        ),
        sa.Column("answer", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oa_message")),
        sa.UniqueConstraint("once", name=op.f("uq_oa_message_once")),
    )
    with op.batch_alter_table("oa_message", schema=None) as batch_op:
        batch_op.create_index("ix_oa_message_openid", ["openid", "occurred_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("oa_message", schema=None) as batch_op:
        batch_op.drop_index("ix_oa_message_openid")

    op.drop_table("oa_message")
    with op.batch_alter_table("oa_follower", schema=None) as batch_op:
        batch_op.drop_index("ix_oa_follower_changed_at")
        batch_op.drop_index("ix_oa_follower_person_id")

    op.drop_table("oa_follower")
    with op.batch_alter_table("keyword_reply", schema=None) as batch_op:
        batch_op.drop_index("uq_keyword_reply_keyword")

    op.drop_table("keyword_reply")
    with op.batch_alter_table("kf_visitor", schema=None) as batch_op:
        batch_op.drop_index("ix_kf_visitor_changed_at")

    op.drop_table("kf_visitor")
    with op.batch_alter_table("kf_message", schema=None) as batch_op:
        batch_op.drop_index("ix_kf_message_visitor")

    op.drop_table("kf_message")
    op.drop_table("kf_account")
