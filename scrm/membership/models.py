"""Members of the shop: their points and growth, their levels, and the rules of both."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# The one row of rules; see rules.Rules for its fields.
membership_rules = Table(
    "membership_rules",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rules", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    _text("changed_by", 64),
)

member_level = Table(
    "member_level",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("title", String(40), nullable=False),
    # Growth within the period that reaches this level, and that keeps it.
    _number("growth_from"),
    _number("growth_keep"),
    # Points for each yuan, in thousandths of the rules' rate: 1000 is once.
    Column("points_rate", Integer, nullable=False, server_default=text("1000")),
    _text("benefits", 1000),
)

# One row per person who has ever had points or growth; always the sum of the ledger.
points_account = Table(
    "points_account",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True, autoincrement=False),
    _number("available"),
    _number("frozen"),
    _number("growth"),
    _text("level_key", 32),
    # The level before this one; a refund leads no further down than there.
    _text("level_before", 32),
    Column("level_since", UtcDateTime),
    # When it is decided whether the level is kept.
    Column("level_until", UtcDateTime),
    Index(
        "ix_points_account_level_until",
        "level_until",
        sqlite_where=text("level_until IS NOT NULL"),
        postgresql_where=text("level_until IS NOT NULL"),
    ),
)

# What came in and is not used up yet: frozen until its order is completed, then used from the oldest end on.
points_lot = Table(
    "points_lot",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    # frozen, open, spent, expired, cancelled
    Column("state", String(12), nullable=False),
    _number("amount"),
    _number("remaining"),
    # What the order's payment was worth when it was paid, in points for 100,000,000 fen; a later level changes nothing.
    _number("rate"),
    Column("order_id", BigInteger),
    Column("expires_at", UtcDateTime),
    Column("tell_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_points_lot_person_id", "person_id", "state"),
    Index(
        "ix_points_lot_expires_at",
        "expires_at",
        sqlite_where=text("state = 'open' AND expires_at IS NOT NULL"),
        postgresql_where=text("state = 'open' AND expires_at IS NOT NULL"),
    ),
    Index(
        "ix_points_lot_tell_at",
        "tell_at",
        sqlite_where=text("state = 'open' AND tell_at IS NOT NULL"),
        postgresql_where=text("state = 'open' AND tell_at IS NOT NULL"),
    ),
)

# Append-only. Each row says what both balances were after it.
points_movement = Table(
    "points_movement",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    # The same business told twice moves nothing twice.
    Column("business_key", String(160), nullable=False, unique=True),
    Column("reason", String(24), nullable=False),
    _number("available"),
    _number("frozen"),
    _number("available_after"),
    _number("frozen_after"),
    Column("order_id", BigInteger),
    _text("by", 64),
    _text("note", 200),
    Column("moved_at", UtcDateTime, nullable=False),
    Index("ix_points_movement_person_id", "person_id", "id"),
    Index(
        "ix_points_movement_order_id",
        "order_id",
        sqlite_where=text("order_id IS NOT NULL"),
        postgresql_where=text("order_id IS NOT NULL"),
    ),
)

growth_movement = Table(
    "growth_movement",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("business_key", String(160), nullable=False, unique=True),
    Column("reason", String(24), nullable=False),
    _number("amount"),
    _number("growth_after"),
    Column("order_id", BigInteger),
    _text("by", 64),
    _text("note", 200),
    Column("moved_at", UtcDateTime, nullable=False),
    Index("ix_growth_movement_person_id", "person_id", "moved_at"),
    Index(
        "ix_growth_movement_order_id",
        "order_id",
        sqlite_where=text("order_id IS NOT NULL"),
        postgresql_where=text("order_id IS NOT NULL"),
    ),
)

# Adjustments above the limit wait here for somebody else's yes.
points_request = Table(
    "points_request",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    _number("amount"),
    Column("reason", String(24), nullable=False),
    _text("note", 200),
    # waiting, approved, refused
    Column("state", String(12), nullable=False, server_default=text("'waiting'")),
    Column("asked_by", String(64), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    _text("decided_by", 64),
    Column("decided_at", UtcDateTime),
    Index("ix_points_request_person_id", "person_id"),
    Index(
        "ix_points_request_waiting",
        "asked_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)
