"""Steps that are mass messages: whom each is for, the batches they gather in, and waves that were stopped."""

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


# Steps of one version with the same words by the same member: they become one mass message.
mass_step_batch = Table(
    "mass_step_batch",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # Digest of all that the steps of a batch have in common; only one of a key gathers at a time.
    Column("key", String(64), nullable=False),
    Column("playbook_key", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("step_id", String(64), nullable=False),
    _text("variant", 40),
    Column("userid", String(64), nullable=False),
    _text("title", 120),
    Column("text", Text, nullable=False),
    # As mass_message keeps them: [{"link": {...}}, {"media": sha256}]
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    # gathering, closing (its people become recipients), open (its message is made), over
    Column("state", String(12), nullable=False, server_default=text("'gathering'")),
    Column("opened_at", UtcDateTime, nullable=False),
    # Half way: the member is reminded once.
    Column("remind_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    # When the tick has something to do for it; None: never again.
    Column("look_at", UtcDateTime),
    # The part of its recipients whose loss within a day stops the wave; 0: it is not watched.
    Column("stop_at", Float, nullable=False, server_default=text("0")),
    # How often it was recalled and made again without somebody: the next time it waits longer.
    Column("recalls", Integer, nullable=False, server_default=text("0")),
    Column("mass_message_id", ForeignKey("mass_message.id")),
    # Of the message, while it closes; who is recalled later gets another part.
    Column("part_id", BigInteger),
    Index(
        "uq_mass_step_batch_gathering",
        "key",
        unique=True,
        sqlite_where=text("state = 'gathering'"),
        postgresql_where=text("state = 'gathering'"),
    ),
    Index(
        "ix_mass_step_batch_look_at",
        "look_at",
        "id",
        sqlite_where=text("look_at IS NOT NULL"),
        postgresql_where=text("look_at IS NOT NULL"),
    ),
    Index("ix_mass_step_batch_step", "playbook_key", "version", "step_id", "state"),
    Index("ix_mass_step_batch_message", "mass_message_id"),
)

# One person's step; its place in the message is the mass_message_target with the same step_run_id.
mass_step = Table(
    "mass_step",
    metadata,
    Column("step_run_id", ForeignKey("step_run.id"), primary_key=True, autoincrement=False),
    Column("enrolment_id", ForeignKey("enrolment.id"), nullable=False),
    Column("batch_id", ForeignKey("mass_step_batch.id"), nullable=False),
    Column("external_userid", String(64), nullable=False),
    # gathering, sending (stands in a message), over
    Column("state", String(12), nullable=False, server_default=text("'gathering'")),
    Column("sent_at", UtcDateTime),
    Index("ix_mass_step_enrolment_id", "enrolment_id"),
    Index("ix_mass_step_external_userid", "external_userid"),
    Index("ix_mass_step_batch_id", "batch_id", "state", "external_userid"),
    Index(
        "ix_mass_step_sent_at",
        "sent_at",
        sqlite_where=text("sent_at IS NOT NULL"),
        postgresql_where=text("sent_at IS NOT NULL"),
    ),
)

# A step of a version that is sent no more, because too many of its recipients deleted the member.
mass_wave_stop = Table(
    "mass_wave_stop",
    metadata,
    Column("playbook_key", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("step_id", String(64), primary_key=True),
    Column("recipients", BigInteger, nullable=False),
    Column("losses", BigInteger, nullable=False),
    _text("reason", 300),
    Column("stopped_at", UtcDateTime, nullable=False),
)
