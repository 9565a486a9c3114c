"""Drafts, approvals and the history of playbooks.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_LIVING = sa.text("state IN ('active', 'paused', 'queued')")


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), server_default=sa.text("('')"), nullable=False)


def upgrade() -> None:
    op.add_column("playbook", sa.Column("runs", sa.String(length=12), server_default="go_on", nullable=False))
    op.add_column("playbook", sa.Column("entries_from", sa.BigInteger(), nullable=True))
    op.add_column("playbook", sa.Column("file_digest", sa.String(length=64), server_default="", nullable=False))
    op.add_column(
        "playbook_version", sa.Column("published_by", sa.String(length=64), server_default="", nullable=False)
    )
    op.add_column("playbook_version", sa.Column("origin", sa.String(length=12), server_default="file", nullable=False))
    op.add_column("playbook_version", sa.Column("why", sa.String(length=300), server_default="", nullable=False))
    op.add_column("playbook_version", sa.Column("rolled_back_to", sa.Integer(), nullable=True))
    # Until now every version came from a file.
    op.execute(
        "UPDATE playbook SET file_digest = coalesce((SELECT kept.digest FROM playbook_version AS kept"
        " WHERE kept.playbook_key = playbook.key AND kept.version = playbook.version), '')"
    )
    op.create_table(
        "playbook_draft",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("based_on", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'draft'"), nullable=False),
        _text("saved_by", 64),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        _text("asked_by", 64),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        _text("why", 300),
        sa.Column("estimate", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("playbook_key", name=op.f("pk_playbook_draft")),
    )
    op.create_table(
        "playbook_change",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("act", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _text("by", 64),
        _text("why", 300),
        sa.Column("facts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_playbook_change")),
    )
    op.create_index("ix_playbook_change_key", "playbook_change", ["playbook_key", "id"], unique=False)
    op.create_index(
        "ix_enrolment_living",
        "enrolment",
        ["playbook_key", "state", "id"],
        unique=False,
        sqlite_where=_LIVING,
        postgresql_where=_LIVING,
    )


def downgrade() -> None:
    op.drop_index("ix_enrolment_living", table_name="enrolment")
    op.drop_table("playbook_change")
    op.drop_table("playbook_draft")
    for column in ("rolled_back_to", "why", "origin", "published_by"):
        op.drop_column("playbook_version", column)
    for column in ("file_digest", "entries_from", "runs"):
        op.drop_column("playbook", column)
