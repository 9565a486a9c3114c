"""Keys with which other programs come in, and what they were answered."""

from sqlalchemy import BigInteger, Boolean, Column, Index, SmallInteger, String, Table, Text, text

from scrm.db.tables import Json, UtcDateTime, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("key_hash", String(64), primary_key=True),  # SHA-256; the key itself is shown once
    Column("name", String(80), nullable=False),
    Column("role", String(20), nullable=False),
    # Phones, names and addresses in clear, for programs that need them (scope 隐私数据).
    Column("sees_private", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    # ["orders:edit", ...]; None: what the role may.
    Column("scopes", Json),
    # Addresses and networks that may use it; None: any.
    Column("addresses", Json),
    # The key's last letters, to tell one from another.
    Column("hint", String(8), nullable=False, server_default=text("''")),
    Column("created_by", String(100), nullable=False, server_default=text("''")),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    # Whose customers it reaches: all, or those of one member (own) or of the member's departments (department).
    Column("reach", String(12), nullable=False, server_default=text("'all'")),
    Column("userid", String(64), nullable=False, server_default=text("''")),
)

# How much a key may still ask: the moment at which its minute's worth is all there again.
api_rate = Table(
    "api_rate",
    metadata,
    Column("key_hash", String(64), primary_key=True),
    Column("full_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What a POST with an Idempotency-Key was answered, for a day.
api_answer = Table(
    "api_answer",
    metadata,
    # SHA-256 of the caller's key and its Idempotency-Key.
    Column("key_hash", String(64), primary_key=True),
    # Of the address and the body: another request may not come under the same key.
    Column("request_hash", String(64), nullable=False),
    # None while the first one is being carried out.
    Column("status", SmallInteger),
    Column("body_sealed", Text, nullable=False, server_default=text("''")),
    Column("content_type", String(80), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_api_answer_created_at", "created_at"),
)
