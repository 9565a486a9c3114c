"""Mass messages, moments and the media library.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mass_message",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("origin", sa.String(length=10), server_default=sa.text("'own'"), nullable=False),
        sa.Column("title", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("text", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("attachments", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("audience", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'preparing'"), nullable=False),
        sa.Column("prepared_until", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("once", sa.String(length=64), nullable=True),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mass_message")),
        sa.UniqueConstraint("once", name=op.f("uq_mass_message_once")),
    )
    with op.batch_alter_table("mass_message", schema=None) as batch_op:
        batch_op.create_index("ix_mass_message_origin", ["origin", "id"], unique=False)

    op.create_table(
        "media_original",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("filename", sa.String(length=160), nullable=False),
        sa.Column("content_type", sa.String(length=120), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("height", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("added_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_hidden", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_media_original")),
    )
    with op.batch_alter_table("media_original", schema=None) as batch_op:
        batch_op.create_index("ix_media_original_created_at", ["created_at"], unique=False)

    op.create_table(
        "moment",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("text", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("attachments", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("userids", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("tag_ids", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'planned'"), nullable=False),
        sa.Column("jobid", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("moment_id", sa.String(length=80), nullable=True),
        sa.Column("once", sa.String(length=64), nullable=True),
        sa.Column("intent_at", sa.BigInteger(), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=True),
        sa.Column("poll_at", sa.BigInteger(), nullable=True),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moment")),
        sa.UniqueConstraint("moment_id", name=op.f("uq_moment_moment_id")),
        sa.UniqueConstraint("once", name=op.f("uq_moment_once")),
    )
    with op.batch_alter_table("moment", schema=None) as batch_op:
        batch_op.create_index("ix_moment_poll_at", ["poll_at"], unique=False)

    op.create_table(
        "mass_message_part",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("mass_message_id", BigId, nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'planned'"), nullable=False),
        sa.Column("msgid", sa.String(length=80), nullable=True),
        sa.Column("intent_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("poll_at", sa.BigInteger(), nullable=True),
        sa.Column("reminded", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(
            ["mass_message_id"], ["mass_message.id"], name=op.f("fk_mass_message_part_mass_message_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mass_message_part")),
        sa.UniqueConstraint("msgid", name=op.f("uq_mass_message_part_msgid")),
    )
    with op.batch_alter_table("mass_message_part", schema=None) as batch_op:
        batch_op.create_index("ix_mass_message_part_message", ["mass_message_id", "state"], unique=False)
        batch_op.create_index("ix_mass_message_part_poll_at", ["poll_at"], unique=False)

    op.create_table(
        "mass_message_target",
        sa.Column("mass_message_id", BigId, nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("part_id", sa.BigInteger(), nullable=True),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'planned'"), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.Column("is_sent", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.ForeignKeyConstraint(
            ["mass_message_id"], ["mass_message.id"], name=op.f("fk_mass_message_target_mass_message_id")
        ),
        sa.PrimaryKeyConstraint("mass_message_id", "target", name=op.f("pk_mass_message_target")),
    )
    with op.batch_alter_table("mass_message_target", schema=None) as batch_op:
        batch_op.create_index("ix_mass_message_target_part_id", ["part_id", "state"], unique=False)
        batch_op.create_index("ix_mass_message_target_target", ["target", "counted_at"], unique=False)
        batch_op.create_index("ix_mass_message_target_userid", ["mass_message_id", "userid", "state"], unique=False)

    op.create_table(
        "media_copy",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("use", sa.String(length=16), nullable=False),
        sa.Column("media_id", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("jobid", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=True),
        sa.Column("renew_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["media_original.sha256"], name=op.f("fk_media_copy_sha256")),
        sa.PrimaryKeyConstraint("sha256", "use", name=op.f("pk_media_copy")),
    )
    with op.batch_alter_table("media_copy", schema=None) as batch_op:
        batch_op.create_index("ix_media_copy_jobid", ["jobid"], unique=False)
        batch_op.create_index("ix_media_copy_renew_at", ["renew_at"], unique=False)

    op.create_table(
        "media_wish",
        sa.Column("owner", sa.String(length=120), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("use", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["media_original.sha256"], name=op.f("fk_media_wish_sha256")),
        sa.PrimaryKeyConstraint("owner", "sha256", "use", name=op.f("pk_media_wish")),
    )
    with op.batch_alter_table("media_wish", schema=None) as batch_op:
        batch_op.create_index("ix_media_wish_sha256", ["sha256", "use"], unique=False)

    op.create_table(
        "moment_publisher",
        sa.Column("moment", BigId, nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("is_published", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("seen", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("likes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("comments", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["moment"], ["moment.id"], name=op.f("fk_moment_publisher_moment")),
        sa.PrimaryKeyConstraint("moment", "userid", name=op.f("pk_moment_publisher")),
    )


def downgrade() -> None:
    op.drop_table("moment_publisher")
    op.drop_table("media_wish")
    op.drop_table("media_copy")
    op.drop_table("mass_message_target")
    op.drop_table("mass_message_part")
    op.drop_table("moment")
    op.drop_table("media_original")
    op.drop_table("mass_message")
