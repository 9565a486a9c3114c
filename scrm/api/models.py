"""Keys with which other programs come in."""

from sqlalchemy import Column, String, Table

from scrm.db.tables import UtcDateTime, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("key_hash", String(64), primary_key=True),  # SHA-256; the key itself is shown once
    Column("name", String(80), nullable=False),
    Column("role", String(20), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
)
