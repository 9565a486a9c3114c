"""How people like their lists of customers, what is done with many at once, and whom nobody looks after."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


# A list somebody comes back to; `userid` is whose it is, others see it when it is shared.
customer_view = Table(
    "customer_view",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("userid", String(100), nullable=False),
    Column("title", String(40), nullable=False),
    Column("is_shared", Boolean, nullable=False, server_default=text("false")),
    # As in the address bar: what narrows and orders it.
    _text("query", 1000),
    Column("columns", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_customer_view_userid", "userid"),
)

# Which columns somebody looks at outside of a view.
customer_columns = Table(
    "customer_columns",
    metadata,
    Column("userid", String(100), primary_key=True),
    Column("columns", Json, nullable=False),
)

# Something that is done with many customers: first they are gathered, then taken one chunk after the other.
bulk_job = Table(
    "bulk_job",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    # {"ids": [...]}, {"query": "..."} or {"job": id, "state": "done"}
    Column("selection", Json, nullable=False),
    Column("choice", Json, nullable=False),
    # gathering, running, done, cancelled, failed
    Column("state", String(12), nullable=False),
    # Persons below this id are still to be gathered.
    Column("below", BigInteger),
    _count("total"),
    _count("done"),
    _count("refused"),
    _text("problem", 300),
    # The file that an export came to.
    _text("file", 120),
    # Who asked, and whose customers they reach.
    Column("by", String(100), nullable=False),
    _text("by_name", 80),
    Column("reach", String(16), nullable=False),
    # The form's own number: sent twice it is one job.
    Column("once", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

bulk_item = Table(
    "bulk_item",
    metadata,
    Column("job_id", ForeignKey("bulk_job.id"), primary_key=True),
    Column("person_id", BigInteger, primary_key=True, autoincrement=False),
    # waiting, done, refused
    Column("state", String(8), nullable=False, server_default=text("'waiting'")),
    # Whom it was done through.
    _text("userid", 64),
    _text("reason", 200),
    Index("ix_bulk_item_state", "job_id", "state", "person_id"),
    Index("ix_bulk_item_person_id", "person_id"),
)

# 公海规则: one row.
pool_rule = Table(
    "pool_rule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("is_on", Boolean, nullable=False, server_default=text("false")),
    # Customers of members who left or were stopped.
    Column("takes_ownerless", Boolean, nullable=False, server_default=text("true")),
    # Customers whom nobody has followed up for so long; None: they stay.
    Column("idle_days", Integer),
    Column("picks_per_day", Integer, nullable=False, server_default=text("20")),
    # Who was picked and not followed up for so long goes back; None: never.
    Column("recycle_days", Integer),
    # How far the walk over all persons has come.
    Column("cursor", BigInteger, nullable=False, server_default=text("0")),
    Column("walked_at", UtcDateTime),
    _text("changed_by", 100),
    Column("changed_at", UtcDateTime),
)

# Who is in the pool now.
pool_entry = Table(
    "pool_entry",
    metadata,
    Column("person_id", BigInteger, primary_key=True, autoincrement=False),
    # ownerless, idle, recycled, by_hand
    Column("reason", String(12), nullable=False),
    _text("from_userid", 64),
    Column("entered_at", UtcDateTime, nullable=False),
    Index("ix_pool_entry_entered_at", "entered_at", "person_id"),
    Index("ix_pool_entry_reason", "reason", "entered_at", "person_id"),
)

_OPEN = text("ended_at IS NULL")

# Who took whom out of the pool; it is looked at again until it ends: followed up no longer, or given to somebody else.
pool_pick = Table(
    "pool_pick",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", BigInteger, nullable=False),
    Column("userid", String(64), nullable=False),
    # Whoever assigned it; empty: picked by the member.
    _text("by", 100),
    Column("picked_at", UtcDateTime, nullable=False),
    Column("look_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    # recycled, returned, owner_changed
    _text("ended_by", 16),
    Index("ix_pool_pick_userid", "userid", "picked_at"),
    Index("ix_pool_pick_person_id", "person_id"),
    Index("ix_pool_pick_look_at", "look_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
)
