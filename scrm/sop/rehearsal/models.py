"""Rehearsals that were asked for, and what they found."""

from sqlalchemy import Column, Float, Index, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# state: waiting, running, done, failed, cancelled
rehearsal = Table(
    "rehearsal",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("playbook_key", String(64), nullable=False),
    Column("source", Text, nullable=False),
    # Of the text: whether what was rehearsed is what is published.
    Column("digest", String(64), nullable=False),
    Column("terms", Json, nullable=False),
    Column("state", String(12), nullable=False),
    Column("share", Float, nullable=False, server_default=text("0")),
    # Persons only by their number.
    Column("summary", Json, nullable=False, server_default=text("'{}'")),
    Column("problem", Text, nullable=False, server_default=text("''")),
    Column("asked_by", String(64), nullable=False, server_default=text("''")),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Index("ix_rehearsal_playbook_key", "playbook_key", "id"),
)
