"""Roles, local accounts, API keys, the audit log.

Revision ID: 0029
Revises: 0028
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_EMPTY = sa.text("''")


def upgrade() -> None:
    op.create_table(
        "access_role",
        sa.Column("key", sa.String(20), nullable=False),
        sa.Column("title", sa.String(40), nullable=False),
        sa.Column("note", sa.String(200), server_default=_EMPTY, nullable=False),
        sa.Column("rights", Json, nullable=False),
        sa.Column("reach", sa.String(12), nullable=False),
        sa.Column("fields", Json, nullable=False),
        sa.Column("changed_by", sa.String(100), server_default=_EMPTY, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_access_role"),
    )
    op.create_table(
        "local_account",
        sa.Column("userid", sa.String(64), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("last_login_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("userid", name="pk_local_account"),
    )
    op.create_table(
        "login_attempt",
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("locked_until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("key_hash", name="pk_login_attempt"),
    )
    op.create_index("ix_login_attempt_last_at", "login_attempt", ["last_at"])
    _make_audit()
    for column in (
        sa.Column("seen_at", sa.BigInteger()),
        sa.Column("way", sa.String(10), server_default=sa.text("'wecom'"), nullable=False),
        sa.Column("address", sa.String(45), server_default=_EMPTY, nullable=False),
        sa.Column("agent", sa.String(80), server_default=_EMPTY, nullable=False),
    ):
        op.add_column("session", column)
    op.create_index("ix_session_userid", "session", ["userid"])
    more: tuple[sa.Column[Any], ...] = (
        sa.Column("scopes", Json),
        sa.Column("addresses", Json),
        sa.Column("hint", sa.String(8), server_default=_EMPTY, nullable=False),
        sa.Column("created_by", sa.String(100), server_default=_EMPTY, nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
    )
    for each in more:
        op.add_column("api_key", each)


def _make_audit() -> None:
    op.create_table(
        "audit_entry",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.String(16), server_default=_EMPTY, nullable=False),
        sa.Column("actor", sa.String(100), nullable=False),
        sa.Column("actor_name", sa.String(80), server_default=_EMPTY, nullable=False),
        sa.Column("address", sa.String(45), server_default=_EMPTY, nullable=False),
        sa.Column("way", sa.String(10), nullable=False),
        sa.Column("module", sa.String(40), server_default=_EMPTY, nullable=False),
        sa.Column("act", sa.String(12), nullable=False),
        sa.Column("words", sa.String(200), nullable=False),
        sa.Column("route", sa.String(160), server_default=_EMPTY, nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("problem", sa.String(300), server_default=_EMPTY, nullable=False),
        sa.Column("entity", sa.String(40), server_default=_EMPTY, nullable=False),
        sa.Column("key", sa.String(120), server_default=_EMPTY, nullable=False),
        sa.Column("before", Json),
        sa.Column("after", Json),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entry"),
    )
    op.create_index("ix_audit_entry_at", "audit_entry", ["at"])
    for column in ("actor", "module", "act", "key"):
        op.create_index(f"ix_audit_entry_{column}", "audit_entry", [column, "id"])
    for statement in _ONLY_GROWS[op.get_bind().dialect.name]:
        op.execute(statement)


# A log that can be rewritten proves nothing.
_ONLY_GROWS = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_entry_no_{act.lower()} BEFORE {act} ON audit_entry "
        "BEGIN SELECT RAISE(ABORT, 'audit_entry only grows'); END"
        for act in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE FUNCTION audit_entry_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit_entry only grows'; END $$",
        "CREATE TRIGGER audit_entry_no_change BEFORE UPDATE OR DELETE ON audit_entry "
        "FOR EACH ROW EXECUTE FUNCTION audit_entry_only_grows()",
    ),
}


def downgrade() -> None:
    for column in ("revoked_at", "expires_at", "created_by", "hint", "addresses", "scopes"):
        op.drop_column("api_key", column)
    op.drop_index("ix_session_userid", "session")
    for column in ("agent", "address", "way", "seen_at"):
        op.drop_column("session", column)
    op.drop_table("audit_entry")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_only_grows()")
    op.drop_table("login_attempt")
    op.drop_table("local_account")
    op.drop_table("access_role")
