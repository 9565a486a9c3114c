"""The one table of durable work."""

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

WAITING, LEASED, DEAD = 0, 1, 2

work_item = Table(
    "work_item",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("lane", String(16), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("payload", Json, nullable=False),
    Column("state", SmallInteger, nullable=False, server_default=text("0")),
    Column("due_at", UtcDateTime, nullable=False),
    # Items of one order key run one at a time, in the order of their ids.
    Column("order_key", String(120)),
    # No second open item with the same dedupe key.
    Column("dedupe_key", String(160)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("lease_until", UtcDateTime),
    Column("give_up_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("correlation", String(40), nullable=False, server_default=text("''")),
    Column("last_error", Text, nullable=False, server_default=text("''")),
    # A dead letter that goes on when WeCom is found well again (scrm.stops).
    Column("held", Boolean, nullable=False, server_default=text("false")),
    Index(
        "ix_work_item_waiting",
        "lane",
        "due_at",
        "id",
        sqlite_where=text("state = 0"),
        postgresql_where=text("state = 0"),
    ),
    Index("ix_work_item_leased", "lease_until", sqlite_where=text("state = 1"), postgresql_where=text("state = 1")),
    Index("ix_work_item_dead", "id", sqlite_where=text("state = 2"), postgresql_where=text("state = 2")),
    Index(
        "ix_work_item_held",
        "id",
        sqlite_where=text("held AND state = 2"),
        postgresql_where=text("held AND state = 2"),
    ),
    Index(
        "ix_work_item_order_key",
        "lane",
        "order_key",
        "id",
        sqlite_where=text("order_key IS NOT NULL AND state < 2"),
        postgresql_where=text("order_key IS NOT NULL AND state < 2"),
    ),
    Index(
        "uq_work_item_dedupe_key",
        "dedupe_key",
        unique=True,
        sqlite_where=text("dedupe_key IS NOT NULL AND state < 2"),
        postgresql_where=text("dedupe_key IS NOT NULL AND state < 2"),
    ),
)
