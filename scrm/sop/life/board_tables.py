"""Who writes a draft at the moment, and what managers did with single runs by hand."""

from sqlalchemy import Column, ForeignKey, Index, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# One writes at a time; who has not written for a while does not hold it any more.
draft_lock = Table(
    "draft_lock",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    Column("userid", String(64), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("wrote_at", UtcDateTime, nullable=False),
    # Who held it before, when somebody took it over, and what he was told.
    _text("taken_from", 64),
    _text("word", 200),
)

# A run that was ended by hand, or a step that was left out; `before` is where the run stood, to be taken back.
run_act = Table(
    "run_act",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("enrolment_id", ForeignKey("enrolment.id"), nullable=False),
    # stop, skip
    Column("act", String(8), nullable=False),
    _text("step_id", 64),
    Column("by", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("before", Json, nullable=False),
    Column("undone_at", UtcDateTime),
    Index("ix_run_act_enrolment_id", "enrolment_id", "id"),
)
