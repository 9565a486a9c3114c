"""人群包: groups of persons by a condition, and who is in them."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import Json, UtcDateTime, metadata

segment = Table(
    "segment",
    metadata,
    # As authors name it in `{segment: key}`.
    Column("key", String(64), primary_key=True),
    Column("title", String(80), nullable=False),
    # dynamic: whoever fits the condition; static: a list
    Column("kind", String(8), nullable=False),
    Column("condition", Json),
    # For leaving people out: when it is empty, `not` in it is everybody.
    Column("is_exclusion", Boolean, nullable=False, server_default=text("false")),
    # Which of the shipped ones it was made from.
    Column("template", String(40), nullable=False, server_default=text("''")),
    # Grows with each change of the condition.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("members", Integer, nullable=False, server_default=text("0")),
    # When the members were computed last; None: not since the condition was changed, and who enters is not new.
    Column("computed_at", UtcDateTime),
    # Whether also those found by the first computation are told of as having entered.
    Column("tells_first", Boolean, nullable=False, server_default=text("false")),
    Column("refresh_seconds", Integer, nullable=False, server_default=text("300")),
    Column("refresh_at", UtcDateTime),
    # Why it cannot be computed, in words; the members stay as they were.
    Column("problem", String(300), nullable=False, server_default=text("''")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index("ix_segment_refresh_at", "refresh_at"),
)

segment_member = Table(
    "segment_member",
    metadata,
    Column("segment_key", ForeignKey("segment.key"), primary_key=True),
    Column("person_id", ForeignKey("person.id"), primary_key=True, autoincrement=False),
    Column("entered_at", UtcDateTime, nullable=False),
    Index("ix_segment_member_person_id", "person_id"),
)
