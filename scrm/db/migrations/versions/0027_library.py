"""Scripts and materials, what members like and use; playbooks keep the scripts they were published with.

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "script_folder",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("parent_id", BigId, nullable=True),
        sa.Column("title", sa.String(length=40), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["script_folder.id"], name=op.f("fk_script_folder_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_folder")),
    )
    op.create_index("ix_script_folder_owner", "script_folder", ["owner", "position"])
    op.create_table(
        "script",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("owner", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("folder_id", BigId, nullable=True),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("attachments", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("draft", sa.String(length=8), server_default=sa.text("''"), nullable=False),
        sa.Column("is_stopped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["folder_id"], ["script_folder.id"], name=op.f("fk_script_folder_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script")),
        sa.UniqueConstraint("key", name=op.f("uq_script_key")),
    )
    op.create_index("ix_script_owner", "script", ["owner", "position", "id"])
    op.create_index("ix_script_folder_id", "script", ["folder_id", "position", "id"])
    op.create_index("ix_script_uses", "script", ["owner", "uses"])
    op.create_table(
        "script_version",
        sa.Column("script_id", BigId, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attachments", Json, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("saved_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.String(length=300), server_default=sa.text("''"), nullable=False),
        sa.Column("restored_from", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["script_id"], ["script.id"], name=op.f("fk_script_version_script_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("script_id", "version", name=op.f("pk_script_version")),
    )
    op.create_table(
        "script_term",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column(
            "term", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("script_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(
            ["script_id"], ["script.id"], name=op.f("fk_script_term_script_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner", "term", "script_id", name=op.f("pk_script_term")),
    )
    op.create_index("ix_script_term_script_id", "script_term", ["script_id"])
    op.create_table(
        "script_habit",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("script_id", BigId, nullable=False),
        sa.Column("liked_at", sa.BigInteger(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["script_id"], ["script.id"], name=op.f("fk_script_habit_script_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("userid", "script_id", name=op.f("pk_script_habit")),
    )
    op.create_index("ix_script_habit_liked_at", "script_habit", ["userid", "liked_at"])
    op.create_index("ix_script_habit_uses", "script_habit", ["userid", "uses"])
    op.create_index("ix_script_habit_used_at", "script_habit", ["userid", "used_at"])
    op.create_index("ix_script_habit_script_id", "script_habit", ["script_id"])
    op.create_table(
        "script_use",
        sa.Column("once", sa.String(length=160), nullable=False),
        sa.Column("script_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("is_edited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("once", name=op.f("pk_script_use")),
    )
    op.create_index("ix_script_use_script_id", "script_use", ["script_id", "used_at"])
    op.create_index("ix_script_use_used_at", "script_use", ["used_at"])
    op.create_table(
        "script_rule",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("needs_approval", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("banned", Json, nullable=False),
        sa.Column("doubtful", Json, nullable=False),
        sa.Column("changed_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_script_rule")),
    )
    op.add_column("playbook_version", sa.Column("contents", Json, server_default=sa.text("'{}'"), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("playbook_version") as batch_op:
        batch_op.drop_column("contents")
    for table in (
        "script_rule",
        "script_use",
        "script_habit",
        "script_term",
        "script_version",
        "script",
        "script_folder",
    ):
        op.drop_table(table)
