"""Mass messages, their part for each member, and what became of each customer or group."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

mass_message = Table(
    "mass_message",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # single (to customers) or group (into customer groups)
    Column("kind", String(8), nullable=False),
    # own, playbook (made for a step); corp (made by the corp elsewhere) and personal (a member's own), only counted
    Column("origin", String(10), nullable=False, server_default=text("'own'")),
    Column("title", String(80), nullable=False, server_default=text("''")),
    Column("text", Text, nullable=False, server_default=text("''")),
    # [{"link": {...}}, {"media": sha256}, {"miniprogram": {...}}], in the order they are sent
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    # {"userids": [...], "tag_ids": [...], "states": [...], "segment": key, ...} or {"chats": [[id, owner], ...]}
    Column("audience", Json, nullable=False, server_default=text("'{}'")),
    # pending (waits for an approval), refused, preparing, dividing (into parts), running, done, cancelled
    Column("state", String(12), nullable=False, server_default=text("'preparing'")),
    # How far the audience has been written down (a customer), then divided (a member).
    Column("prepared_until", String(64), nullable=False, server_default=text("''")),
    # A form that is sent twice makes one message.
    Column("once", String(64), unique=True),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    # When its audience is to be written down; None: at once.
    Column("scheduled_at", UtcDateTime),
    # How many it would have reached when it was made.
    Column("expected", BigInteger, nullable=False, server_default=text("0")),
    # Who agreed to it or sent it back, and why.
    Column("decided_by", String(64), nullable=False, server_default=text("''")),
    Column("decided_at", UtcDateTime),
    Column("why", String(300), nullable=False, server_default=text("''")),
    Column("ended_at", UtcDateTime),
    Index("ix_mass_message_origin", "origin", "id"),
)

# One member's share, at most 10,000 customers: one call of add_msg_template, one msgid.
mass_message_part = Table(
    "mass_message_part",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("mass_message_id", ForeignKey("mass_message.id"), nullable=False),
    Column("userid", String(64), nullable=False),
    # planned, intent (called, outcome not known yet), created, recalling (being stopped at WeCom), done, failed, cancelled
    Column("state", String(12), nullable=False, server_default=text("'planned'")),
    Column("msgid", String(80), unique=True),
    Column("intent_at", UtcDateTime),
    Column("created_at", UtcDateTime),
    Column("confirmed_at", UtcDateTime),
    Column("poll_at", UtcDateTime),
    # Milliseconds since 1970 of the reminders of the last 24 hours.
    Column("reminded", Json, nullable=False, server_default=text("'[]'")),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    Column("reason", String(300), nullable=False, server_default=text("''")),
    Index("ix_mass_message_part_message", "mass_message_id", "state"),
    Index("ix_mass_message_part_poll_at", "poll_at"),
)

# A customer or a group stands in a message once, so nobody gets it twice.
mass_message_target = Table(
    "mass_message_target",
    metadata,
    Column("mass_message_id", ForeignKey("mass_message.id"), primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("part_id", BigInteger),
    Column("userid", String(64), nullable=False),
    Column("person_id", BigInteger),
    # planned, waiting, sent; not_friend, capped, unreachable, over_quota, lost, refused, failed, unsent, cancelled
    Column("state", String(12), nullable=False, server_default=text("'planned'")),
    # When it counts for the customer's quota: decided, later sent.
    Column("counted_at", UtcDateTime, nullable=False),
    Column("is_sent", Boolean, nullable=False, server_default=text("false")),
    # The step of a playbook it is for, and the state that the playbook has taken note of.
    Column("step_run_id", BigInteger),
    Column("told", String(12), nullable=False, server_default=text("''")),
    Index(
        "ix_mass_message_target_step_run_id",
        "step_run_id",
        sqlite_where=text("step_run_id IS NOT NULL"),
        postgresql_where=text("step_run_id IS NOT NULL"),
    ),
    Index(
        "ix_mass_message_target_untold",
        "step_run_id",
        sqlite_where=text("step_run_id IS NOT NULL AND told <> state"),
        postgresql_where=text("step_run_id IS NOT NULL AND told <> state"),
    ),
    Index("ix_mass_message_target_part_id", "part_id", "state"),
    Index("ix_mass_message_target_target", "target", "counted_at"),
    Index("ix_mass_message_target_userid", "mass_message_id", "userid", "state"),
)
