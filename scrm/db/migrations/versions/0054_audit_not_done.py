"""What was refused or failed is found in the log without reading all of it.

Revision ID: 0054
Revises: 0053
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

_NOT_DONE = sa.text("outcome <> 'done'")


def upgrade() -> None:
    op.create_index(
        "ix_audit_entry_not_done",
        "audit_entry",
        ["outcome", "id"],
        sqlite_where=_NOT_DONE,
        postgresql_where=_NOT_DONE,
    )


def downgrade() -> None:
    op.drop_index("ix_audit_entry_not_done", "audit_entry")
