"""Why runs began or did not, and what steps achieved.

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_refusal_person_id")),
        sa.PrimaryKeyConstraint("playbook_key", "person_id", name=op.f("pk_refusal")),
    )
    op.create_index("ix_refusal_person_id", "refusal", ["person_id"], unique=False)
    op.create_index("ix_refusal_at", "refusal", ["at"], unique=False)
    op.create_table(
        "entry_note",
        sa.Column("enrolment_id", BigId, autoincrement=False, nullable=False),
        sa.Column("leaves", Json, nullable=False),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_entry_note_enrolment_id")),
        sa.PrimaryKeyConstraint("enrolment_id", name=op.f("pk_entry_note")),
    )
    op.create_table(
        "tally",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step_id", sa.String(length=64), nullable=False),
        sa.Column("variant", sa.String(length=40), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=60), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "playbook_key", "day", "version", "step_id", "variant", "userid", "what", name=op.f("pk_tally")
        ),
    )
    op.create_table(
        "tally_cursor",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("counted_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tally_cursor")),
    )
    op.create_table(
        "tally_open",
        sa.Column("step_run_id", BigId, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["step_run_id"], ["step_run.id"], name=op.f("fk_tally_open_step_run_id")),
        sa.PrimaryKeyConstraint("step_run_id", name=op.f("pk_tally_open")),
    )
    op.create_table(
        "conversion",
        sa.Column("enrolment_id", BigId, autoincrement=False, nullable=False),
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_holdout", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("step_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("variant", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("arms", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=True),
        sa.Column("entered_at", sa.BigInteger(), nullable=False),
        sa.Column("reached_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_conversion_enrolment_id")),
        sa.PrimaryKeyConstraint("enrolment_id", name=op.f("pk_conversion")),
    )
    op.create_index("ix_conversion_playbook_key", "conversion", ["playbook_key", "entered_at"], unique=False)
    op.create_index(
        "ix_enrolment_ended_at",
        "enrolment",
        ["ended_at", "id"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NOT NULL"),
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_enrolment_ended_at", table_name="enrolment")
    for table in ("conversion", "tally_open", "tally_cursor", "tally", "entry_note", "refusal"):
        op.drop_table(table)
