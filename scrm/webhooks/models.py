"""Who wants to be told of which events, and what became of each."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

webhook = Table(
    "webhook",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("title", String(80), nullable=False),
    Column("url", String(500), nullable=False),
    # Names of events; "order.*" is all of a family, "*" everything.
    Column("events", Json, nullable=False),
    Column("secret_sealed", Text, nullable=False),
    # The secret's last letters, to tell one from another.
    Column("hint", String(8), nullable=False, server_default=text("''")),
    # on, paused (by itself or by hand; what happens meanwhile waits)
    Column("state", String(8), nullable=False),
    Column("paused_why", String(300), nullable=False, server_default=text("''")),
    Column("failing_since", UtcDateTime),
    # Refusals in a row.
    Column("refusals", Integer, nullable=False, server_default=text("0")),
    Column("created_by", String(100), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
)

_WAITING = text("state = 'waiting'")

# What is sent is made of the event when it goes out: nothing of a customer is kept twice.
webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("webhook_id", ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", BigInteger, nullable=False),
    Column("name", String(48), nullable=False),
    # waiting, done, failed
    Column("state", String(8), nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    Column("said", String(300), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("tried_at", UtcDateTime),
    Index("uq_webhook_delivery_event", "webhook_id", "event_id", unique=True),
    Index("ix_webhook_delivery_log", "webhook_id", "id"),
    Index("ix_webhook_delivery_state", "webhook_id", "state", "id"),
    Index("ix_webhook_delivery_waiting", "webhook_id", "event_id", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_webhook_delivery_created_at", "created_at"),
)
