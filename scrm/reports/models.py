"""What reports keep: what became of each add and each buyer, channels' costs, and the reports that people made themselves."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _fen(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


# A row of way_add with what became of the customer since, reckoned by scrm.reports.adds. One channel lies together.
report_add = Table(
    "report_add",
    metadata,
    Column("state", String(64), primary_key=True),
    Column("added_at", UtcDateTime, primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("person_id", BigInteger, nullable=False),
    Column("userid", String(64), nullable=False),
    Column("lost_at", UtcDateTime),
    # The customer's add before this one.
    Column("earlier_at", UtcDateTime),
    # The first of each since the add.
    Column("talked_at", UtcDateTime),
    Column("entered_at", UtcDateTime),
    Column("bought_at", UtcDateTime),
    Column("again_at", UtcDateTime),
    # The last order since the add, and what is left of all of them; of those of the first 30 and 90 days.
    Column("paid_at", UtcDateTime),
    _fen("net_fen"),
    _fen("net_30_fen"),
    _fen("net_90_fen"),
    Index("ix_report_add_person_id", "person_id"),
    sqlite_with_rowid=False,
)

# What became of each buyer since the shop's day of their first purchase (a number since 1970), reckoned by
# scrm.reports.buyers. `gap` is how many days later they first came again; of `months` each bit is a month after the first.
BUYER_DAYS = (30, 60, 90, 180, 365)
BUYER_MONTHS = 12

report_buyer = Table(
    "report_buyer",
    metadata,
    Column("person_id", BigInteger, primary_key=True, autoincrement=False),
    Column("first_day", Integer, nullable=False),
    Column("gap", Integer),
    _fen("net_fen"),
    *(_fen(f"fen_{days}") for days in BUYER_DAYS),
    Column("months", Integer, nullable=False, server_default=text("0")),
    sqlite_with_rowid=False,
)

# The same added up by the day of the first purchase.
report_buyer_day = Table(
    "report_buyer_day",
    metadata,
    Column("first_day", Integer, primary_key=True, autoincrement=False),
    *(_fen(name) for name in ("buyers", "again", "net_fen")),
    *(_fen(f"{kind}_{days}") for days in BUYER_DAYS for kind in ("back", "fen")),
    *(_fen(f"month_{month}") for month in range(1, BUYER_MONTHS + 1)),
)

# Whose purchases have changed since their row was reckoned; triggers on orders write it (scrm.reports.buyer_news).
# Who has a purchase that is dated ahead waits here for that moment.
report_buyer_news = Table(
    "report_buyer_news",
    metadata,
    Column("person_id", BigInteger, primary_key=True, autoincrement=False),
    Column("due_at", UtcDateTime),
    sqlite_with_rowid=False,
)

# How far report_add has followed: events and enrolments by id, and the ledger of adds, which is gone through for ever.
# Besides, in which zone report_buyer counts its days.
report_cursor = Table(
    "report_cursor",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("at_id", BigInteger, nullable=False),
)

# Money that was spent on a channel over some days of the shop, both ends included.
channel_cost = Table(
    "channel_cost",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("state", String(64), nullable=False),
    Column("first_day", String(10), nullable=False),
    Column("last_day", String(10), nullable=False),
    _fen("cost_fen"),
    Column("note", String(80), nullable=False, server_default=text("''")),
    Column("created_by", String(80), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_channel_cost_state", "state", "first_day"),
)

# A report that somebody made: scrm.reports.builder.Question as JSON.
saved_report = Table(
    "saved_report",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("title", String(40), nullable=False),
    Column("question", Json, nullable=False),
    Column("owner", String(80), nullable=False),
    Column("is_shared", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_saved_report_owner", "owner"),
)

# Somebody's own board: which reports stand on it, in which order.
report_pin = Table(
    "report_pin",
    metadata,
    Column("owner", String(80), primary_key=True),
    Column("report_id", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, nullable=False),
)
