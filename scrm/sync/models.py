"""Runs of the sync, where they stand, and the callbacks they found missing."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# One comparison of one source with WeCom.
sync_run = Table(
    "sync_run",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("source", String(40), nullable=False),
    Column("is_full", Boolean, nullable=False, server_default=text("false")),
    # running, done, failed
    Column("state", String(10), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("done", Integer, nullable=False, server_default=text("0")),
    Column("added", Integer, nullable=False, server_default=text("0")),
    Column("changed", Integer, nullable=False, server_default=text("0")),
    Column("ended", Integer, nullable=False, server_default=text("0")),
    Column("notes", Json, nullable=False, server_default=text("'[]'")),
    Column("error", Text, nullable=False, server_default=text("''")),
    # Which process works on it, and until when nobody else may; both empty when it waits to be resumed.
    Column("holder", String(40), nullable=False, server_default=text("''")),
    Column("lease_until", UtcDateTime),
    Index("ix_sync_run_source", "source", "id"),
    Index(
        "uq_sync_run_running",
        "source",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
)

# A long source is done in parts, each with a cursor of its own: a run that was cut off goes on there.
sync_part = Table(
    "sync_part",
    metadata,
    Column("source", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("userids", Json, nullable=False),
    Column("cursor", Text, nullable=False, server_default=text("''")),
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("is_over", Boolean, nullable=False, server_default=text("false")),
    Column("planned_at", UtcDateTime, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
)

# A night's run is begun by the one process that adds its row.
sync_night = Table(
    "sync_night",
    metadata,
    Column("night", String(10), primary_key=True),
    Column("begun_at", UtcDateTime, nullable=False),
)

missed_callback = Table(
    "missed_callback",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # The event that the callback should have become: contact.added, contact.lost_by_member ...
    Column("name", String(48), nullable=False),
    Column("source", String(40), nullable=False),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("person_id", BigInteger),
    # None when WeCom does not tell, as with deletions.
    Column("happened_at", UtcDateTime),
    Column("noticed_at", UtcDateTime, nullable=False),
    Column("repaired_at", UtcDateTime),
    Column("facts", Json, nullable=False, server_default=text("'{}'")),
    Index("ix_missed_callback_noticed_at", "noticed_at"),
)
