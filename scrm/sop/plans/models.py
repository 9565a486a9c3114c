"""Plans for groups and moments, what of them went to whom, and days on which nothing goes out."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


plan = Table(
    "plan",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("title", String(80), nullable=False),
    # group, moment
    Column("kind", String(8), nullable=False),
    # published, paused, retired
    Column("state", String(12), nullable=False, server_default=text("'published'")),
    Column("version", Integer, nullable=False),
    Column("source", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    # Everything that fell due until then has been claimed or skipped.
    Column("looked_until", UtcDateTime, nullable=False),
    _text("changed_by", 64),
    Column("changed_at", UtcDateTime, nullable=False),
)

# One item for one group (or for the moments): unique, so nobody gets it twice whatever happens.
plan_claim = Table(
    "plan_claim",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("plan_key", ForeignKey("plan.key"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("item_id", String(64), nullable=False),
    # The day of what comes every week; empty for what comes once.
    _text("occurrence", 10),
    # A group's chat_id; empty for moments.
    _text("target", 64),
    _text("owner", 64),
    # released (待员工确认), done, skipped, expired, failed
    Column("state", String(10), nullable=False),
    _text("reason", 200),
    Column("due_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("mass_message_id", BigInteger),
    Column("moment_id", BigInteger),
    Column("ended_at", UtcDateTime),
    Index("uq_plan_claim_target", "plan_key", "item_id", "occurrence", "target", unique=True),
    Index("ix_plan_claim_plan_key", "plan_key", "due_at"),
    Index("ix_plan_claim_message", "mass_message_id"),
    Index(
        "ix_plan_claim_expires_at",
        "expires_at",
        "id",
        sqlite_where=text("state = 'released'"),
        postgresql_where=text("state = 'released'"),
    ),
)

# Days on which no plan sends anything: public mourning, a storm.
plan_day_off = Table(
    "plan_day_off",
    metadata,
    Column("day", String(10), primary_key=True),
    _text("reason", 80),
    _text("set_by", 64),
    Column("set_at", UtcDateTime, nullable=False),
)
