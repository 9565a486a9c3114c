"""Visitors with what they did, and the radar links with who opened them."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# A browser or an installed mini-program; whose it is says the identity of kind "anonymous_id".
visitor = Table(
    "visitor",
    metadata,
    Column("anonymous_id", String(64), primary_key=True),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    # Since when it belongs to somebody else than before (a shared device).
    Column("switched_at", UtcDateTime),
    # Consent was withdrawn: until it is given again nothing is kept.
    Column("withdrawn_at", UtcDateTime),
)

# An identity that a page named and nobody has yet: it waits for the person to come.
visitor_claim = Table(
    "visitor_claim",
    metadata,
    Column("anonymous_id", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("scope", String(80), primary_key=True),
    Column("value", String(128), primary_key=True),
    Column("claimed_at", UtcDateTime, nullable=False),
    Index("ix_visitor_claim_value", "kind", "scope", "value"),
    Index("ix_visitor_claim_claimed_at", "claimed_at"),
)

# Everything that pages told, for 180 days; what is worth telling is in `event` too once we know whose it is.
tracked_event = Table(
    "tracked_event",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("event_id", String(64), nullable=False, unique=True),
    Column("name", String(60), nullable=False),
    Column("anonymous_id", String(64), nullable=False, server_default=text("''")),
    Column("person_id", BigInteger),
    Column("session_id", String(64), nullable=False, server_default=text("''")),
    # The main product's, for the rules of abandonment.
    Column("sku", String(80), nullable=False, server_default=text("''")),
    Column("facts", Json, nullable=False),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_tracked_event_anonymous_id", "anonymous_id", "occurred_at"),
    Index("ix_tracked_event_person_id", "person_id", "occurred_at"),
    Index("ix_tracked_event_received_at", "received_at"),
)

# Something that members send and want to know who reads.
radar_content = Table(
    "radar_content",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("title", String(120), nullable=False),
    Column("url", String(1000), nullable=False),
    Column("is_archived", Boolean, nullable=False, server_default=text("false")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
)

# The same content for one member and one person; person_id 0: for whoever gets it.
radar_link = Table(
    "radar_link",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("token", String(32), nullable=False, unique=True),
    Column("content_id", ForeignKey("radar_content.id"), nullable=False),
    Column("userid", String(64), nullable=False, server_default=text("''")),
    Column("person_id", BigInteger, nullable=False, server_default=text("0")),
    Column("external_userid", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("first_opened_at", UtcDateTime),
    Column("last_opened_at", UtcDateTime),
    Column("opens", Integer, nullable=False, server_default=text("0")),
    Column("seconds", Integer, nullable=False, server_default=text("0")),
    Index("uq_radar_link_whom", "content_id", "userid", "person_id", unique=True),
    Index("ix_radar_link_person_id", "person_id"),
    # Who opened it, the latest first.
    Index(
        "ix_radar_link_opened",
        "content_id",
        "last_opened_at",
        "id",
        sqlite_where=text("opens > 0"),
        postgresql_where=text("opens > 0"),
    ),
)

radar_open = Table(
    "radar_open",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("link_id", ForeignKey("radar_link.id"), nullable=False),
    # What the page tells its seconds by.
    Column("view", String(32), nullable=False, unique=True),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("seconds", Integer, nullable=False, server_default=text("0")),
    Index("ix_radar_open_link_id", "link_id", "opened_at"),
)
