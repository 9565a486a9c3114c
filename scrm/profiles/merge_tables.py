"""Which persons became one, what was moved then, and which pairs may be the same."""

from sqlalchemy import BigInteger, Column, Index, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# One act of joining; its snapshot says what to give back.
person_merge = Table(
    "person_merge",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # Who stays, and whose id leads there from now on.
    Column("kept_id", BigInteger, nullable=False),
    Column("gone_id", BigInteger, nullable=False),
    # A member's userid, 'auto' or 'api'.
    Column("by", String(64), nullable=False),
    # The key that both had (wx_unionid ...), or 'manual'.
    Column("reason", String(32), nullable=False),
    # What was seen, without clear private values.
    Column("evidence", Json, nullable=False, server_default=text("'{}'")),
    # {table: rows moved}
    Column("counts", Json, nullable=False, server_default=text("'{}'")),
    # {"persons", "moved", "changed", "dropped"}: see scrm.profiles.merge.
    Column("snapshot", Json, nullable=False, server_default=text("'{}'")),
    Column("merged_at", UtcDateTime, nullable=False),
    Column("undone_at", UtcDateTime),
    Column("undone_by", String(64), nullable=False, server_default=text("''")),
    Index("ix_person_merge_kept_id", "kept_id"),
    Index("ix_person_merge_gone_id", "gone_id"),
)

# Where an id leads that is nobody's own any more; chains are followed.
person_redirect = Table(
    "person_redirect",
    metadata,
    Column("old_id", BigInteger, primary_key=True, autoincrement=False),
    Column("new_id", BigInteger, nullable=False),
    Column("merge_id", BigInteger, nullable=False),
    Index("ix_person_redirect_new_id", "new_id"),
)

# Two persons who may be the same; the lower id first. A pair that was told apart is never joined by itself again.
merge_suggestion = Table(
    "merge_suggestion",
    metadata,
    Column("low_id", BigInteger, primary_key=True, autoincrement=False),
    Column("high_id", BigInteger, primary_key=True, autoincrement=False),
    # open, merged, apart
    Column("state", String(8), nullable=False, server_default=text("'open'")),
    # [{"key": "receiver_phone", "shown": "138****6620"}, ...]
    Column("evidence", Json, nullable=False, server_default=text("'[]'")),
    Column("suggested_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("decided_by", String(64), nullable=False, server_default=text("''")),
    Index("ix_merge_suggestion_state", "state", "suggested_at"),
)
