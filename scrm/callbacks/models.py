"""What WeCom told us, word for word."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text, text

from scrm.db.tables import BigId, UtcDateTime, metadata

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
    Index("uq_inbox_event_told", "told_at", "digest", unique=True),
    Index("ix_inbox_event_received_at", "received_at"),
    Index(
        "ix_inbox_event_odd",
        "id",
        sqlite_where=text("state IN ('unknown', 'unreadable', 'failed')"),
        postgresql_where=text("state IN ('unknown', 'unreadable', 'failed')"),
    ),
)
