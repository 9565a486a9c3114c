"""Moments of the shop, and what each member made of them."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

moment = Table(
    "moment",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False, server_default=text("''")),
    # [{"media": sha256}] or [{"link": {title, url, media: sha256}}]
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    Column("userids", Json, nullable=False, server_default=text("'[]'")),
    Column("tag_ids", Json, nullable=False, server_default=text("'[]'")),
    # planned, intent (called, outcome not known yet), job (WeCom is making it), created, done, failed, cancelled
    Column("state", String(12), nullable=False, server_default=text("'planned'")),
    Column("jobid", String(80), nullable=False, server_default=text("''")),
    Column("moment_id", String(80), unique=True),
    Column("once", String(64), unique=True),
    Column("intent_at", UtcDateTime),
    Column("made_at", UtcDateTime),
    Column("poll_at", UtcDateTime),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    Column("reason", String(300), nullable=False, server_default=text("''")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_moment_poll_at", "poll_at"),
)

moment_publisher = Table(
    "moment_publisher",
    metadata,
    Column("moment", ForeignKey("moment.id"), primary_key=True),
    Column("userid", String(64), primary_key=True),
    Column("is_published", Boolean, nullable=False, server_default=text("false")),
    Column("seen", Integer, nullable=False, server_default=text("0")),
    Column("likes", Integer, nullable=False, server_default=text("0")),
    Column("comments", Integer, nullable=False, server_default=text("0")),
)
