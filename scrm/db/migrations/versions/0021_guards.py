"""The stop list, the house's guards, who looks after a person, queued and paused runs.

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_HELD = sa.text("state IN ('queued', 'paused') AND look_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "stop_entry",
        sa.Column("person_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("note", sa.String(200), server_default=sa.text("''"), nullable=False),
        sa.Column("added_by", sa.String(64), server_default=sa.text("''"), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_stop_entry_person_id"),
        sa.PrimaryKeyConstraint("person_id", name="pk_stop_entry"),
    )
    op.create_index("ix_stop_entry_added_at", "stop_entry", ["added_at"])
    op.create_table(
        "house_guard",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("values", Json, nullable=False),
        sa.Column("changed_by", sa.String(64), server_default=sa.text("''"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_house_guard"),
    )
    op.add_column("person", sa.Column("owner_userid", sa.String(64), server_default=sa.text("''"), nullable=False))
    op.add_column("enrolment", sa.Column("priority", sa.String(2), server_default=sa.text("''"), nullable=False))
    op.add_column("enrolment", sa.Column("is_journey", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("enrolment", sa.Column("look_at", sa.BigInteger()))
    op.create_index("ix_enrolment_look_at", "enrolment", ["look_at", "id"], sqlite_where=_HELD, postgresql_where=_HELD)


def downgrade() -> None:
    op.drop_index("ix_enrolment_look_at", "enrolment")
    for column in ("look_at", "is_journey", "priority"):
        op.drop_column("enrolment", column)
    op.drop_column("person", "owner_userid")
    op.drop_table("house_guard")
    op.drop_table("stop_entry")
