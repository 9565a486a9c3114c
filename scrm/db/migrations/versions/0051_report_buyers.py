"""What became of each buyer since their first purchase, kept for the cohorts.

Revision ID: 0051
Revises: 0050
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import UtcDateTime

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

DAYS = (30, 60, 90, 180, 365)


def _number(name: str, kind: type[sa.types.TypeEngine[int]] = sa.BigInteger) -> sa.Column[int]:
    return sa.Column(name, kind(), nullable=False, server_default=sa.text("0"))


def upgrade() -> None:
    op.create_table(
        "report_buyer",
        sa.Column("person_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("first_day", sa.Integer(), nullable=False),
        sa.Column("gap", sa.Integer()),
        _number("net_fen"),
        *(_number(f"fen_{days}") for days in DAYS),
        _number("months", sa.Integer),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_report_buyer")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "report_buyer_day",
        sa.Column("first_day", sa.Integer(), nullable=False, autoincrement=False),
        *(_number(name) for name in ("buyers", "again", "net_fen")),
        *(_number(f"{kind}_{days}") for days in DAYS for kind in ("back", "fen")),
        *(_number(f"month_{month}") for month in range(1, 13)),
        sa.PrimaryKeyConstraint("first_day", name=op.f("pk_report_buyer_day")),
    )
    op.create_table(
        "report_buyer_news",
        sa.Column("person_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("due_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_report_buyer_news")),
        sqlite_with_rowid=False,
    )
    # Everybody's row is reckoned by the tick, some at a time; until then they are counted from their orders.
    op.execute(
        "INSERT INTO report_buyer_news (person_id)"
        " SELECT person_id FROM person_stat WHERE first_paid_at IS NOT NULL ORDER BY person_id"
    )


def downgrade() -> None:
    for kind in ("insert", "update", "delete"):
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER IF EXISTS report_buyer_{kind}")
        else:
            op.execute(f"DROP TRIGGER IF EXISTS report_buyer_{kind} ON orders")
            op.execute(f"DROP FUNCTION IF EXISTS report_buyer_{kind}()")
    for table in ("report_buyer_news", "report_buyer_day", "report_buyer"):
        op.drop_table(table)
