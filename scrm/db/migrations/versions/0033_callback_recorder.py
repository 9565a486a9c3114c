"""Callbacks can be searched by whom and what they speak of, keep their failures, and are replayed in ranges.

Revision ID: 0033
Revises: 0032
"""

import re

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import Json

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_inbox_event_name", ["name", "change_type", "id"], "name <> ''"),
    ("ix_inbox_event_external_userid", ["external_userid", "id"], "external_userid <> ''"),
    ("ix_inbox_event_userid", ["userid", "id"], "userid <> ''"),
)
_PAGE = 2_000
_CONTACT = re.compile(rb"<ExternalUserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")
_MEMBER = re.compile(rb"<UserID>(?:<!\[CDATA\[)?([A-Za-z0-9_\-@.]{1,64})")


def upgrade() -> None:
    op.add_column(
        "inbox_event", sa.Column("external_userid", sa.String(length=64), server_default=sa.text("''"), nullable=False)
    )
    op.add_column(
        "inbox_event", sa.Column("userid", sa.String(length=64), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("inbox_event", sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False))
    _fill()
    for name, columns, where in _PARTIAL:
        op.create_index(name, "inbox_event", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "inbox_failure",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("inbox_id", big, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=1000), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_failure")),
    )
    op.create_index(op.f("ix_inbox_failure_inbox_id"), "inbox_failure", ["inbox_id"], unique=False)
    op.create_table(
        "callback_replay",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("wanted", Json, nullable=False),
        sa.Column("newest_id", big, nullable=False),
        sa.Column("cursor", big, server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(length=8), server_default=sa.text("'running'"), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callback_replay")),
    )


def _fill() -> None:
    """What came before can be searched too."""
    conn = op.get_bind()
    told = sa.table(
        "inbox_event",
        *(sa.column(name) for name in ("id", "body", "state", "external_userid", "userid", "tries")),
    )
    last = 0
    while rows := conn.execute(
        sa.select(told.c.id, told.c.body)
        .where(told.c.id > last, told.c.state != "new")
        .order_by(told.c.id)
        .limit(_PAGE)
    ).all():
        last = rows[-1].id
        conn.execute(
            sa.update(told)
            .where(told.c.id == sa.bindparam("of_id"))
            .values(external_userid=sa.bindparam("contact"), userid=sa.bindparam("member"), tries=1),
            [
                {"of_id": row.id, "contact": _found(_CONTACT, row.body), "member": _found(_MEMBER, row.body)}
                for row in rows
            ],
        )


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(bytes(body))
    return found[1].decode() if found else ""


def downgrade() -> None:
    op.drop_table("callback_replay")
    op.drop_index(op.f("ix_inbox_failure_inbox_id"), table_name="inbox_failure")
    op.drop_table("inbox_failure")
    for name, _, _ in reversed(_PARTIAL):
        op.drop_index(name, table_name="inbox_event")
    for name in ("tries", "userid", "external_userid"):
        op.drop_column("inbox_event", name)
