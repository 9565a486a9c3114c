"""How many customers each member and each channel has, and who refused something, are read from indexes.

Revision ID: 0056
Revises: 0055
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lives = sa.text("ended_by = ''")
    op.create_index(
        "ix_follow_user_living", "follow_user", ["userid", "is_half"], sqlite_where=lives, postgresql_where=lives
    )
    _index_states(["state", "person_id", "ended_by"])
    op.create_index(
        "ix_person_optout",
        "person",
        ["id"],
        sqlite_where=sa.text("optout <> '{}'"),
        postgresql_where=sa.text("optout <> '{}'::jsonb"),
    )


def downgrade() -> None:
    op.drop_index("ix_person_optout", "person")
    _index_states(["state", "person_id"])
    op.drop_index("ix_follow_user_living", "follow_user")


def _index_states(columns: list[str]) -> None:
    op.drop_index("ix_follow_user_state", "follow_user")
    has_one = sa.text("state <> ''")
    op.create_index("ix_follow_user_state", "follow_user", columns, sqlite_where=has_one, postgresql_where=has_one)
