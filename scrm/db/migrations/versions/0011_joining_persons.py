"""Joining persons: its log, where old ids lead, pairs that may be the same, and how sure an identity is."""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("identity") as batch:
        batch.add_column(
            sa.Column("confidence", sa.String(length=12), server_default=sa.text("'told'"), nullable=False)
        )
    op.execute("UPDATE identity SET confidence = 'verified' WHERE kind <> 'mobile_e164'")
    if op.get_bind().dialect.name == "sqlite":
        # An id that was joined into another leads there for ever: SQLite may not give it to somebody new.
        with op.batch_alter_table("person", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    op.create_table(
        "person_merge",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kept_id", sa.BigInteger(), nullable=False),
        sa.Column("gone_id", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("evidence", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("counts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("snapshot", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("merged_at", sa.BigInteger(), nullable=False),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.Column("undone_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_merge")),
    )
    op.create_index("ix_person_merge_kept_id", "person_merge", ["kept_id"])
    op.create_index("ix_person_merge_gone_id", "person_merge", ["gone_id"])
    op.create_table(
        "person_redirect",
        sa.Column("old_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("new_id", sa.BigInteger(), nullable=False),
        sa.Column("merge_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("old_id", name=op.f("pk_person_redirect")),
    )
    op.create_index("ix_person_redirect_new_id", "person_redirect", ["new_id"])
    op.create_table(
        "merge_suggestion",
        sa.Column("low_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("high_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), server_default=sa.text("'open'"), nullable=False),
        sa.Column("evidence", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("suggested_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("low_id", "high_id", name=op.f("pk_merge_suggestion")),
    )
    op.create_index("ix_merge_suggestion_state", "merge_suggestion", ["state", "suggested_at"])
