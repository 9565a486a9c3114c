"""The database: engines, types, transactions, group commit and migrations; SQLite and PostgreSQL alike."""

from scrm.db.database import Database, Priority, signal
from scrm.db.tables import BigId, Json, UtcDateTime, metadata
from scrm.db.upsert import insert_for, upsert

__all__ = ["BigId", "Database", "Json", "Priority", "UtcDateTime", "insert_for", "metadata", "signal", "upsert"]
