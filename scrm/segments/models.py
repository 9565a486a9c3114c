"""人群包: groups of persons by a condition, and who is in them; what each person is worth as of the last night."""

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKey, Index, Integer, SmallInteger, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

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

# How a segment grew: a row for each day on which it was computed or changed.
segment_day = Table(
    "segment_day",
    metadata,
    Column("segment_key", ForeignKey("segment.key"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("members", Integer, nullable=False, server_default=text("0")),
    Column("entered", Integer, nullable=False, server_default=text("0")),
    Column("left", Integer, nullable=False, server_default=text("0")),
)


def _number(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False, server_default=text("0"))


# Whoever has bought or shown interest; nobody else has a row. Computed by scrm.segments.rfm_refresh.
person_value = Table(
    "person_value",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True, autoincrement=False),
    # Within the period: orders with money left, that money; and when the newest of all was paid.
    Column("orders", Integer, nullable=False, server_default=text("0")),
    Column("fen", BigInteger, nullable=False, server_default=text("0")),
    Column("last_at", UtcDateTime),
    # The median time between two orders; and of how many orders, with how much money, all this was counted.
    Column("cycle_days", Integer),
    Column("counted", Integer, nullable=False, server_default=text("0")),
    Column("counted_fen", BigInteger, nullable=False, server_default=text("0")),
    # Scores 1 to 5, 0 without an order in the period; the class as R, F and M, each high (1) or not (0).
    _number("r"),
    _number("f"),
    _number("m"),
    Column("rfm", String(3), nullable=False, server_default=text("''")),
    # scrm.segments.stages: new, active, cooling, sleeping, lost; I, P, L.
    Column("life", String(8), nullable=False, server_default=text("''")),
    Column("aipl", String(1), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(
        "ix_person_value_rfm", "rfm", "person_id", sqlite_where=text("rfm <> ''"), postgresql_where=text("rfm <> ''")
    ),
    Index("ix_person_value_life", "life", "person_id"),
    Index("ix_person_value_aipl", "aipl", "person_id"),
)

# How RFM is scored: one row, as the page has it; none: as the settings file says.
rfm_rules = Table(
    "rfm_rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("rules", Json, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("changed_by", String(64), nullable=False, server_default=text("''")),
)

# One computation: by which rules and cuts, who was where, who moved from where to where.
rfm_run = Table(
    "rfm_run",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("computed_at", UtcDateTime, nullable=False),
    Column("rules", Json, nullable=False),
    Column("cuts", Json, nullable=False),
    Column("buyers", Integer, nullable=False, server_default=text("0")),
    Column("fen", BigInteger, nullable=False, server_default=text("0")),
    # [{"r", "f", "m", "rfm", "persons", "fen"}], [{"from", "to", "persons"}]
    Column("cells", Json, nullable=False, server_default=text("'[]'")),
    Column("moves", Json, nullable=False, server_default=text("'[]'")),
    Index("ix_rfm_run_computed_at", "computed_at"),
)
