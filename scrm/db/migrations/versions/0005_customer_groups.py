"""Customer groups, their history and their join codes.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "group_chat",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=160), server_default=sa.text("('')"), nullable=False),
        sa.Column("owner", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("notice", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("admins", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("member_version", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("told_version", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("members", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("customers", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("refreshed_at", sa.BigInteger(), nullable=True),
        sa.Column("dismissed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_chat")),
        sa.UniqueConstraint("chat_id", name=op.f("uq_group_chat_chat_id")),
    )
    with op.batch_alter_table("group_chat", schema=None) as batch_op:
        batch_op.create_index("ix_group_chat_owner", ["owner"], unique=False)

    op.create_table(
        "group_chat_change",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("scene", sa.SmallInteger(), server_default=sa.text("(-1)"), nullable=False),
        sa.Column("invitor", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("state", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_told", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("noticed_at", sa.BigInteger(), nullable=False),
        sa.Column("is_reported", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_chat_change")),
    )
    with op.batch_alter_table("group_chat_change", schema=None) as batch_op:
        batch_op.create_index("ix_group_chat_change_at", ["at"], unique=False)
        batch_op.create_index(
            "ix_group_chat_change_untold",
            ["at"],
            unique=False,
            sqlite_where=sa.text("NOT is_told"),
            postgresql_where=sa.text("NOT is_told"),
        )
        batch_op.create_index("uq_group_chat_change_once", ["chat_id", "userid", "kind", "at"], unique=True)

    op.create_table(
        "group_chat_hint",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("scene", sa.SmallInteger(), server_default=sa.text("(-1)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_chat_hint")),
    )
    with op.batch_alter_table("group_chat_hint", schema=None) as batch_op:
        batch_op.create_index("ix_group_chat_hint_chat_id", ["chat_id"], unique=False)

    op.create_table(
        "group_chat_member",
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("unionid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("group_nickname", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.Column("join_scene", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("invitor", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("state", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", "userid", name=op.f("pk_group_chat_member")),
    )
    with op.batch_alter_table("group_chat_member", schema=None) as batch_op:
        batch_op.create_index("ix_group_chat_member_unionid", ["unionid"], unique=False)
        batch_op.create_index("ix_group_chat_member_userid", ["userid"], unique=False)

    op.create_table(
        "group_chat_tag",
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.PrimaryKeyConstraint("chat_id", "name", name=op.f("pk_group_chat_tag")),
    )
    with op.batch_alter_table("group_chat_tag", schema=None) as batch_op:
        batch_op.create_index("ix_group_chat_tag_name", ["name"], unique=False)

    op.create_table(
        "group_join_code",
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("guidance", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("most_members", sa.Integer(), server_default=sa.text("(200)"), nullable=False),
        sa.Column("auto_create_room", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("room_base_name", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("room_base_id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_group_join_code")),
        sa.UniqueConstraint("token", name=op.f("uq_group_join_code_token")),
    )
    op.create_table(
        "group_welcome",
        sa.Column("template_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("content", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("attachment", Json, nullable=True),
        sa.Column("changed_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("template_id", name=op.f("pk_group_welcome")),
    )
    op.create_table(
        "group_join_slot",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("chat_id", sa.String(length=64), nullable=False),
        sa.Column("config_id", sa.String(length=64), nullable=False),
        sa.Column("qr_code", sa.String(length=512), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["state"], ["group_join_code.state"], name=op.f("fk_group_join_slot_state"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_join_slot")),
    )
    with op.batch_alter_table("group_join_slot", schema=None) as batch_op:
        batch_op.create_index("uq_group_join_slot_chat", ["state", "chat_id"], unique=True)


def downgrade() -> None:

    with op.batch_alter_table("group_join_slot", schema=None) as batch_op:
        batch_op.drop_index("uq_group_join_slot_chat")

    op.drop_table("group_join_slot")
    op.drop_table("group_welcome")
    op.drop_table("group_join_code")
    with op.batch_alter_table("group_chat_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_group_chat_tag_name")

    op.drop_table("group_chat_tag")
    with op.batch_alter_table("group_chat_member", schema=None) as batch_op:
        batch_op.drop_index("ix_group_chat_member_userid")
        batch_op.drop_index("ix_group_chat_member_unionid")

    op.drop_table("group_chat_member")
    with op.batch_alter_table("group_chat_hint", schema=None) as batch_op:
        batch_op.drop_index("ix_group_chat_hint_chat_id")

    op.drop_table("group_chat_hint")
    with op.batch_alter_table("group_chat_change", schema=None) as batch_op:
        batch_op.drop_index("uq_group_chat_change_once")
        batch_op.drop_index(
            "ix_group_chat_change_untold",
            sqlite_where=sa.text("NOT is_told"),
            postgresql_where=sa.text("NOT is_told"),
        )
        batch_op.drop_index("ix_group_chat_change_at")

    op.drop_table("group_chat_change")
    with op.batch_alter_table("group_chat", schema=None) as batch_op:
        batch_op.drop_index("ix_group_chat_owner")

    op.drop_table("group_chat")
