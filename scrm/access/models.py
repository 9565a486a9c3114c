"""Roles that the shop made, accounts that are not WeCom's, and failed logins."""

from sqlalchemy import Boolean, Column, Integer, String, Table, Text, text

from scrm.db.tables import Json, UtcDateTime, metadata

access_role = Table(
    "access_role",
    metadata,
    Column("key", String(20), primary_key=True),
    Column("title", String(40), nullable=False),
    Column("note", String(200), nullable=False, server_default=text("''")),
    # ["customers:view", ...]
    Column("rights", Json, nullable=False),
    # own, department, all
    Column("reach", String(12), nullable=False),
    # Private fields that may be asked for in clear: phone, receiver, address.
    Column("fields", Json, nullable=False),
    Column("changed_by", String(100), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
)

# Who comes in with a password; members of the company come in through WeCom.
local_account = Table(
    "local_account",
    metadata,
    Column("userid", String(64), primary_key=True),  # local:<name>, which no member of WeCom can be called
    Column("name", String(40), nullable=False),
    Column("role", String(20), nullable=False),
    Column("password_hash", Text, nullable=False),  # argon2id
    # The password was made by us or by somebody else: the next login asks for one's own.
    Column("must_change", Boolean, nullable=False, server_default=text("true")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("last_login_at", UtcDateTime),
)

# Failed logins by account and by address; a name that nobody has counts alike.
login_attempt = Table(
    "login_attempt",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", UtcDateTime, nullable=False, index=True),
    Column("locked_until", UtcDateTime),
)
