"""Who is signed in."""

from sqlalchemy import Column, Index, String, Table, text

from scrm.db.tables import UtcDateTime, metadata

# The cookie holds a random token; only its SHA-256 is kept.
session = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("userid", String(64), nullable=False),
    # The half of the CSRF proof that is not in the cookie.
    Column("csrf", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_session_expires_at", "expires_at"),
)
