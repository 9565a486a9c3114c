"""Runs under way by the part of the playbook before which they stand.

Revision ID: 0045
Revises: 0044
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    living = sa.text("state IN ('active', 'paused', 'queued')")
    op.create_index(
        "ix_enrolment_place",
        "enrolment",
        ["playbook_key", "state", "is_holdout", "version", "step", "id"],
        sqlite_where=living,
        postgresql_where=living,
    )


def downgrade() -> None:
    op.drop_index("ix_enrolment_place", table_name="enrolment")
