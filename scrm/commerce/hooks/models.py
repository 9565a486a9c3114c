"""What platforms pushed, word for word and sealed."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table, Text, text

from scrm.db.tables import BigId, UtcDateTime, metadata

_NEW = text("state = 'new'")
_ODD = text("state IN ('unreadable', 'failed')")

hook_message = Table(
    "hook_message",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # The key of the section [sources.<key>].
    Column("source", String(40), nullable=False),
    # The platform's own message id, or the body's hash.
    Column("message_key", String(80), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("topic", String(80), nullable=False, server_default=text("''")),
    # What the platform counts versions of, and which one this is.
    Column("subject", String(160), nullable=False, server_default=text("''")),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    # Sealed, because it holds names and addresses; emptied some days after it was applied.
    Column("body_sealed", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    # new, done, unused (nothing of it concerns orders), stale (a newer version was applied), unreadable, failed
    Column("state", String(12), nullable=False, server_default=text("'new'")),
    Column("order_no", String(80), nullable=False, server_default=text("''")),
    Column("reason", String(1000), nullable=False, server_default=text("''")),
    Column("done_at", UtcDateTime),
    Index("uq_hook_message_key", "source", "message_key", unique=True),
    Index("ix_hook_message_new", "id", sqlite_where=_NEW, postgresql_where=_NEW),
    Index("ix_hook_message_odd", "id", sqlite_where=_ODD, postgresql_where=_ODD),
    Index("ix_hook_message_received_at", "received_at"),
    Index(
        "ix_hook_message_subject",
        "source",
        "subject",
        "version",
        sqlite_where=text("subject <> ''"),
        postgresql_where=text("subject <> ''"),
    ),
)
