"""Suggestions, notices, outward calls, plans for groups and moments.

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_NO_TEXT = sa.text("''")
_NO_LIST = sa.text("'[]'")


def _text(name: str, length: int) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length=length), server_default=_NO_TEXT, nullable=False)


def _partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    for name in ("leaders", "leads"):
        op.add_column("member", sa.Column(name, Json, server_default=_NO_LIST, nullable=False))
    op.add_column("task", sa.Column("kind", sa.String(length=12), server_default=sa.text("'send'"), nullable=False))
    op.add_column("task", sa.Column("escalate_at", sa.BigInteger(), nullable=True))
    _partial("ix_task_escalate_at", "task", ["escalate_at"], "state = 'open' AND escalate_at IS NOT NULL")
    _make_notices()
    _make_plans()


def _make_notices() -> None:
    op.create_table(
        "notice",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("once", sa.String(length=160), nullable=False),
        sa.Column("step_run_id", sa.BigInteger(), nullable=True),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column("person_id", BigId, nullable=True),
        _text("external_userid", 64),
        _text("of_userid", 64),
        _text("userid", 64),
        _text("notify", 40),
        _text("title", 120),
        sa.Column("text", sa.Text(), server_default=_NO_TEXT, nullable=False),
        sa.Column("is_urgent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        _text("reason", 200),
        _text("bundle", 160),
        sa.Column("look_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_notice_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("once", name=op.f("uq_notice_once")),
    )
    op.create_index("ix_notice_step_run_id", "notice", ["step_run_id"])
    op.create_index("ix_notice_person_id", "notice", ["person_id"])
    op.create_index("ix_notice_bundle", "notice", ["bundle"])
    _partial("ix_notice_look_at", "notice", ["look_at", "id"], "state = 'waiting' AND bundle = ''")


def _make_plans() -> None:
    op.create_table(
        "plan",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'published'"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("looked_until", sa.BigInteger(), nullable=False),
        _text("changed_by", 64),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_plan")),
    )
    op.create_table(
        "plan_claim",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("plan_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(length=64), nullable=False),
        _text("occurrence", 10),
        _text("target", 64),
        _text("owner", 64),
        sa.Column("state", sa.String(length=10), nullable=False),
        _text("reason", 200),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("mass_message_id", sa.BigInteger(), nullable=True),
        sa.Column("moment_id", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["plan_key"], ["plan.key"], name=op.f("fk_plan_claim_plan_key_plan")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_claim")),
    )
    op.create_index("uq_plan_claim_target", "plan_claim", ["plan_key", "item_id", "occurrence", "target"], unique=True)
    op.create_index("ix_plan_claim_plan_key", "plan_claim", ["plan_key", "due_at"])
    op.create_index("ix_plan_claim_message", "plan_claim", ["mass_message_id"])
    _partial("ix_plan_claim_expires_at", "plan_claim", ["expires_at", "id"], "state = 'released'")
    op.create_table(
        "plan_day_off",
        sa.Column("day", sa.String(length=10), nullable=False),
        _text("reason", 80),
        _text("set_by", 64),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_plan_day_off")),
    )


def downgrade() -> None:
    for name in ("plan_day_off", "plan_claim", "plan"):
        op.drop_table(name)
    op.drop_table("notice")
    op.drop_index("ix_task_escalate_at", "task")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_column("escalate_at")
        batch_op.drop_column("kind")
    with op.batch_alter_table("member", schema=None) as batch_op:
        batch_op.drop_column("leads")
        batch_op.drop_column("leaders")
