"""Steps that are mass messages.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), server_default=sa.text("('')"), nullable=False)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    op.add_column("mass_message_target", sa.Column("step_run_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "mass_message_target", sa.Column("told", sa.String(length=12), server_default=sa.text("''"), nullable=False)
    )
    _partial(
        "ix_mass_message_target_untold",
        "mass_message_target",
        ["step_run_id"],
        "step_run_id IS NOT NULL AND told <> state",
    )
    _partial("ix_mass_message_target_step_run_id", "mass_message_target", ["step_run_id"], "step_run_id IS NOT NULL")
    op.create_table(
        "mass_step_batch",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.String(length=64), nullable=False),
        _text("variant", 40),
        sa.Column("userid", sa.String(length=64), nullable=False),
        _text("title", 120),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attachments", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'gathering'"), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("remind_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger(), nullable=True),
        sa.Column("stop_at", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("recalls", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("mass_message_id", BigId, nullable=True),
        sa.Column("part_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["mass_message_id"],
            ["mass_message.id"],
            name=op.f("fk_mass_step_batch_mass_message_id_mass_message"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mass_step_batch")),
    )
    _partial("uq_mass_step_batch_gathering", "mass_step_batch", ["key"], "state = 'gathering'", unique=True)
    _partial("ix_mass_step_batch_look_at", "mass_step_batch", ["look_at", "id"], "look_at IS NOT NULL")
    op.create_index(
        "ix_mass_step_batch_step", "mass_step_batch", ["playbook_key", "version", "step_id", "state"], unique=False
    )
    op.create_index("ix_mass_step_batch_message", "mass_step_batch", ["mass_message_id"], unique=False)
    op.create_table(
        "mass_step",
        sa.Column("step_run_id", BigId, autoincrement=False, nullable=False),
        sa.Column("enrolment_id", BigId, nullable=False),
        sa.Column("batch_id", BigId, nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'gathering'"), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["step_run_id"], ["step_run.id"], name=op.f("fk_mass_step_step_run_id_step_run")),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_mass_step_enrolment_id_enrolment")),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["mass_step_batch.id"], name=op.f("fk_mass_step_batch_id_mass_step_batch")
        ),
        sa.PrimaryKeyConstraint("step_run_id", name=op.f("pk_mass_step")),
    )
    op.create_index("ix_mass_step_enrolment_id", "mass_step", ["enrolment_id"], unique=False)
    op.create_index("ix_mass_step_external_userid", "mass_step", ["external_userid"], unique=False)
    op.create_index("ix_mass_step_batch_id", "mass_step", ["batch_id", "state", "external_userid"], unique=False)
    _partial("ix_mass_step_sent_at", "mass_step", ["sent_at"], "sent_at IS NOT NULL")
    op.create_table(
        "mass_wave_stop",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.String(length=64), nullable=False),
        sa.Column("recipients", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.BigInteger(), nullable=False),
        _text("reason", 300),
        sa.Column("stopped_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("playbook_key", "version", "step_id", name=op.f("pk_mass_wave_stop")),
    )


def downgrade() -> None:
    op.drop_table("mass_wave_stop")
    op.drop_table("mass_step")
    op.drop_table("mass_step_batch")
    for index in ("ix_mass_message_target_untold", "ix_mass_message_target_step_run_id"):
        op.drop_index(index, table_name="mass_message_target")
    for column in ("told", "step_run_id"):
        op.drop_column("mass_message_target", column)
