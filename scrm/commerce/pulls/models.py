"""How far each source has been asked, the parts that ERPs cut orders into, and records that could not be read."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# One row for each stream (orders, after-sale cases, parcels) of each source in the settings.
pull_cursor = Table(
    "pull_cursor",
    metadata,
    Column("source", String(40), primary_key=True),
    Column("stream", String(24), primary_key=True),
    # Everything that changed before is here; None: never asked.
    Column("reached_at", UtcDateTime),
    # The row version to go on from, for sources that count them; 0: none is known yet.
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    # What is read once more, for what was told late; None: nothing is. The newest first: `review_until` comes down.
    Column("review_since", UtcDateTime),
    Column("review_until", UtcDateTime),
    Column("reviewed_at", UtcDateTime),
    # When the source was first asked: what happened before is history and starts no playbook.
    Column("begun_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("succeeded_at", UtcDateTime),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("error", String(500), nullable=False, server_default=text("''")),
    # Of the last pull that ended: records, created, updated, unchanged, unreadable.
    Column("counts", Json, nullable=False, server_default=text("'{}'")),
    # The newest change that any record told of.
    Column("newest_at", UtcDateTime),
    sqlite_with_rowid=False,
)

# An ERP's order may be a piece of a shop's order, or several of them: what each piece says, without private values.
pull_part = Table(
    "pull_part",
    metadata,
    Column("source", String(40), primary_key=True),
    Column("order_no", String(80), primary_key=True),
    Column("part_key", String(80), primary_key=True),
    # live, cancelled, gone (cut up, or joined into another)
    Column("standing", String(12), nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("body", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Kept sealed, because a record holds phones and addresses; gone when it could be read after all.
pull_reject = Table(
    "pull_reject",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("source", String(40), nullable=False),
    Column("stream", String(24), nullable=False),
    Column("record_key", String(80), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("noticed_at", UtcDateTime, nullable=False),
    Index("uq_pull_reject_record", "source", "stream", "record_key", unique=True),
)

# Tokens that a source gave us in place of those in the settings.
pull_token = Table(
    "pull_token",
    metadata,
    Column("source", String(40), primary_key=True),
    # Which tokens of the settings these came from: others there begin anew.
    Column("origin", String(64), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("expires_at", UtcDateTime),
    sqlite_with_rowid=False,
)
