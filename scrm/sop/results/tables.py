"""Why runs began or did not, and what steps achieved: counts that grow from cursors, so that no page counts for long."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# An event would have begun a playbook for a person who was refused: the last time, and why.
refusal = Table(
    "refusal",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("event_id", BigInteger),
    _text("reason", 300),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_refusal_person_id", "person_id"),
    Index("ix_refusal_at", "at"),
)

# What the entry condition compared when a run began: [["已付款订单数 等于 0", "0", true], ...]
entry_note = Table(
    "entry_note",
    metadata,
    Column("enrolment_id", ForeignKey("enrolment.id"), primary_key=True, autoincrement=False),
    Column("leaves", Json, nullable=False),
)

# Counts by day: of steps (the day a step was decided, the member who acts) and of runs (step_id '', the day of entry).
# `what` names the count, see scrm.sop.results.tally: "released", "confirmed", "delay:45", "why:已付款" ...
tally = Table(
    "tally",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    # In the shop's zone: "2026-03-05".
    Column("day", String(10), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("step_id", String(64), primary_key=True),
    Column("variant", String(40), primary_key=True),
    Column("userid", String(64), primary_key=True),
    Column("what", String(60), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# How far each table has been counted; `seen_id` was the newest row at `seen_at`.
tally_cursor = Table(
    "tally_cursor",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("counted_id", BigInteger, nullable=False, server_default=text("0")),
    Column("counted_at", UtcDateTime, nullable=False),
    Column("seen_id", BigInteger, nullable=False, server_default=text("0")),
    Column("seen_at", UtcDateTime, nullable=False),
)

# Steps behind the cursor that wait for their outcome: they are counted when they have it.
tally_open = Table(
    "tally_open",
    metadata,
    Column("step_run_id", ForeignKey("step_run.id"), primary_key=True, autoincrement=False),
)

# A run that reached its goal, and the step that is credited with it: the last one that arrived before.
conversion = Table(
    "conversion",
    metadata,
    Column("enrolment_id", ForeignKey("enrolment.id"), primary_key=True, autoincrement=False),
    Column("playbook_key", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("is_holdout", Boolean, nullable=False, server_default=text("false")),
    _text("step_id", 64),
    _text("variant", 40),
    _text("userid", 64),
    # {"split-id": "A"} as it stood in the run.
    Column("arms", Json, nullable=False, server_default=text("'{}'")),
    # Whose money counts; None when the goal was no order.
    Column("order_id", BigInteger),
    Column("entered_at", UtcDateTime, nullable=False),
    Column("reached_at", UtcDateTime, nullable=False),
    Index("ix_conversion_playbook_key", "playbook_key", "entered_at"),
)
