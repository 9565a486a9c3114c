"""What WeCom told us, word for word."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# What stands for a body that was forgotten on request.
FORGOTTEN = b"<xml></xml>"

_READ = text("name <> ''")

inbox_event = Table(
    "inbox_event",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # SHA-256 of the decrypted body: a retry has the same plain text, two different events never do.
    Column("digest", LargeBinary(32), nullable=False),
    # The event's CreateTime, which a retry repeats: before the digest it keeps the unique index from growing at random.
    Column("told_at", BigInteger, nullable=False, server_default=text("0")),
    Column("body", LargeBinary, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    # new, done, unused (known, nothing to do), unknown, unreadable, failed
    Column("state", String(12), nullable=False, server_default=text("'new'")),
    Column("name", String(64), nullable=False, server_default=text("''")),
    Column("change_type", String(64), nullable=False, server_default=text("''")),
    Column("done_at", UtcDateTime),
    Column("error", Text, nullable=False, server_default=text("''")),
    Column("correlation", String(40), nullable=False, server_default=text("''")),
    # Whom it speaks of, once it was read; and how often a handler was asked.
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Index("uq_inbox_event_told", "told_at", "digest", unique=True),
    Index("ix_inbox_event_received_at", "received_at"),
    Index(
        "ix_inbox_event_odd",
        "id",
        sqlite_where=text("state IN ('unknown', 'unreadable', 'failed')"),
        postgresql_where=text("state IN ('unknown', 'unreadable', 'failed')"),
    ),
    Index("ix_inbox_event_name", "name", "change_type", "id", sqlite_where=_READ, postgresql_where=_READ),
    Index(
        "ix_inbox_event_external_userid",
        "external_userid",
        "id",
        sqlite_where=text("external_userid <> ''"),
        postgresql_where=text("external_userid <> ''"),
    ),
    Index(
        "ix_inbox_event_userid",
        "userid",
        "id",
        sqlite_where=text("userid <> ''"),
        postgresql_where=text("userid <> ''"),
    ),
)

# One row for each try that failed: the callback's own row only knows what came of the last.
inbox_failure = Table(
    "inbox_failure",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("inbox_id", BigId, nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("error", String(1000), nullable=False),
)

# Somebody asked for many to be handled once more: which, how far it came, and whether it goes on.
callback_replay = Table(
    "callback_replay",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("asked_by", String(100), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("wanted", Json, nullable=False),
    # What comes after the asking is not part of it.
    Column("newest_id", BigId, nullable=False),
    Column("cursor", BigId, nullable=False, server_default=text("0")),
    Column("total", Integer, nullable=False),
    Column("done", Integer, nullable=False, server_default=text("0")),
    # running, done, stopped
    Column("state", String(8), nullable=False, server_default=text("'running'")),
    Column("finished_at", UtcDateTime),
)
