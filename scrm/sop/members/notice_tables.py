"""What members and their managers are told by app messages: steps of channel I, and tasks that nobody does."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, Text, text

from scrm.db.tables import BigId, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# One thing that one person is told; several are one message (`bundle`: the message's key in the ledger).
notice = Table(
    "notice",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("once", String(160), nullable=False, unique=True),
    Column("step_run_id", BigInteger),
    Column("task_id", BigInteger),
    Column("person_id", ForeignKey("person.id")),
    _text("external_userid", 64),
    # Whose customer it is about.
    _text("of_userid", 64),
    # Who is told; empty until `notify` (manager, role:administrator ...) has been looked up.
    _text("userid", 64),
    _text("notify", 40),
    _text("title", 120),
    Column("text", Text, nullable=False, server_default=text("''")),
    # Told at once, each by itself, also at night.
    Column("is_urgent", Boolean, nullable=False),
    # waiting, sent, failed, none (needless by now, or nobody there to be told)
    Column("state", String(8), nullable=False),
    _text("reason", 200),
    _text("bundle", 160),
    Column("look_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("ix_notice_step_run_id", "step_run_id"),
    Index("ix_notice_person_id", "person_id"),
    Index("ix_notice_bundle", "bundle"),
    Index(
        "ix_notice_look_at",
        "look_at",
        "id",
        sqlite_where=text("state = 'waiting' AND bundle = ''"),
        postgresql_where=text("state = 'waiting' AND bundle = ''"),
    ),
)
