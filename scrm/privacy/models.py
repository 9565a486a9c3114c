"""What was done with private data, by whom and why; and the numbers of those who were erased."""

from sqlalchemy import BigInteger, Column, Index, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# Nothing in here tells who the person is: only its number.
privacy_act = Table(
    "privacy_act",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # revealed, exported, erased, opted_out, opted_in
    Column("act", String(12), nullable=False),
    Column("person_id", BigInteger, nullable=False),
    # A member's userid, "api:<name of the key>" or "cli".
    Column("actor", String(100), nullable=False),
    Column("reason", String(200), nullable=False, server_default=text("''")),
    # Which fields were seen, how many rows went ...
    Column("facts", Json, nullable=False, server_default=text("'{}'")),
    Column("done_at", UtcDateTime, nullable=False),
    Index("ix_privacy_act_person_id", "person_id", "done_at"),
    # How much one member has seen today.
    Index("ix_privacy_act_actor", "actor", "done_at"),
)

erasure = Table(
    "erasure",
    metadata,
    Column("person_id", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_at", UtcDateTime, nullable=False),
)
