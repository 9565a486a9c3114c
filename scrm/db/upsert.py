"""INSERT ... ON CONFLICT for whichever database is behind the connection."""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def upsert(table: Table, conn: Connection) -> Any:
    """A dialect's own insert(), which has on_conflict_do_nothing() and on_conflict_do_update()."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)
