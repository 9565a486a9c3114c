"""Follow-up notes, promises, reveals, exclusive groups of tags.

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_NO_TEXT = sa.text("''")


def upgrade() -> None:
    op.create_table(
        "note",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.Column("deleted_by", sa.String(length=64), server_default=_NO_TEXT, nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_note_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
    )
    op.create_index("ix_note_person_id", "note", ["person_id", "id"])
    op.create_table(
        "corp_tag_group",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("is_exclusive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_corp_tag_group")),
    )
    op.add_column("task", sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.add_column(
        "follow_user", sa.Column("remark_company", sa.String(length=80), server_default=_NO_TEXT, nullable=False)
    )
    op.create_index("ix_privacy_act_actor", "privacy_act", ["actor", "done_at"])


def downgrade() -> None:
    op.drop_index("ix_privacy_act_actor", "privacy_act")
    for table, column in (("follow_user", "remark_company"), ("task", "due_at")):
        with op.batch_alter_table(table) as batch_op:
            batch_op.drop_column(column)
    op.drop_table("corp_tag_group")
    op.drop_index("ix_note_person_id", "note")
    op.drop_table("note")
