"""How segments grow, who entered and left them, what each person is worth (RFM, AIPL, life cycle).

Revision ID: 0035
Revises: 0034
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_TOLD = sa.text("name IN ('segment.entered', 'segment.left')")


def _number(name: str, kind: type[sa.Integer] = sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind(), server_default=sa.text("0"), nullable=False)


def _words(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), server_default=sa.text("''"), nullable=False)


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_index("ix_event_segment", "event", ["key", "id"], sqlite_where=_TOLD, postgresql_where=_TOLD)
    op.create_table(
        "segment_day",
        sa.Column("segment_key", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        _number("members"),
        _number("entered"),
        _number("left"),
        sa.ForeignKeyConstraint(["segment_key"], ["segment.key"], name=op.f("fk_segment_day_segment_key_segment")),
        sa.PrimaryKeyConstraint("segment_key", "day", name=op.f("pk_segment_day")),
    )
    op.create_table(
        "person_value",
        sa.Column("person_id", big, autoincrement=False, nullable=False),
        _number("orders"),
        _number("fen", sa.BigInteger),
        sa.Column("last_at", sa.BigInteger()),
        sa.Column("cycle_days", sa.Integer()),
        _number("counted"),
        _number("counted_fen", sa.BigInteger),
        _number("r", sa.SmallInteger),
        _number("f", sa.SmallInteger),
        _number("m", sa.SmallInteger),
        _words("rfm", 3),
        _words("life", 8),
        _words("aipl", 1),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_person_value_person_id_person")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person_value")),
    )
    op.create_index("ix_person_value_rfm", "person_value", ["rfm", "person_id"])
    op.create_index("ix_person_value_life", "person_value", ["life", "person_id"])
    op.create_index("ix_person_value_aipl", "person_value", ["aipl", "person_id"])
    op.create_table(
        "rfm_rules",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rules", Json, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        _words("changed_by", 64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rfm_rules")),
    )
    op.create_table(
        "rfm_run",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("computed_at", sa.BigInteger(), nullable=False),
        sa.Column("rules", Json, nullable=False),
        sa.Column("cuts", Json, nullable=False),
        _number("buyers"),
        _number("fen", sa.BigInteger),
        sa.Column("cells", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("moves", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rfm_run")),
    )
    op.create_index("ix_rfm_run_computed_at", "rfm_run", ["computed_at"])


def downgrade() -> None:
    for table in ("rfm_run", "rfm_rules", "person_value", "segment_day"):
        op.drop_table(table)
    op.drop_index("ix_event_segment", "event")
