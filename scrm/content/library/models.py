"""Folders, scripts, their versions, the beginnings by which they are found, and what members like and use."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# Company's where `owner` is empty, else one member's own. Two levels: a folder in a folder has no folders.
script_folder = Table(
    "script_folder",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("owner", String(64), nullable=False, server_default=text("''")),
    Column("parent_id", ForeignKey("script_folder.id")),
    Column("title", String(40), nullable=False),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Index("ix_script_folder_owner", "owner", "position"),
)

# What can be used now stands here; how it came to be so is in its versions.
script = Table(
    "script",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # `content: tpl.<key>` of a playbook; None for what no playbook names.
    Column("key", String(64), unique=True),
    Column("owner", String(64), nullable=False, server_default=text("''")),
    Column("folder_id", ForeignKey("script_folder.id")),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("title", String(80), nullable=False),
    Column("text", Text, nullable=False, server_default=text("''")),
    Column("attachments", Json, nullable=False, server_default=text("'[]'")),
    # The version that is used; 0 while there is none.
    Column("version", Integer, nullable=False, server_default=text("0")),
    # '', draft, pending (waits for another manager): what stands beside that version
    Column("draft", String(8), nullable=False, server_default=text("''")),
    Column("is_stopped", Boolean, nullable=False, server_default=text("false")),
    Column("expires_at", UtcDateTime),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_script_owner", "owner", "position", "id"),
    Index("ix_script_folder_id", "folder_id", "position", "id"),
    Index("ix_script_uses", "owner", "uses"),
)

script_version = Table(
    "script_version",
    metadata,
    Column("script_id", ForeignKey("script.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("title", String(80), nullable=False),
    Column("text", Text, nullable=False),
    Column("attachments", Json, nullable=False),
    # draft, pending, published
    Column("state", String(12), nullable=False),
    Column("saved_by", String(64), nullable=False, server_default=text("''")),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("decided_by", String(64), nullable=False, server_default=text("''")),
    Column("decided_at", UtcDateTime),
    # Why it was sent back.
    Column("why", String(300), nullable=False, server_default=text("''")),
    Column("restored_from", Integer),
)

# Every beginning by which a script is found: "会员日", "员日", "huiyuanri", "yuanri", "hyr", "yr" ...
script_term = Table(
    "script_term",
    metadata,
    Column("owner", String(64), primary_key=True),
    # Compared byte by byte on both databases, so that a beginning is a range of the index.
    Column("term", String(64).with_variant(String(64, collation="C"), "postgresql"), primary_key=True),
    Column("script_id", ForeignKey("script.id", ondelete="CASCADE"), primary_key=True),
    Index("ix_script_term_script_id", "script_id"),
)

# What one member does with one script.
script_habit = Table(
    "script_habit",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("script_id", ForeignKey("script.id", ondelete="CASCADE"), primary_key=True),
    Column("liked_at", UtcDateTime),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    Column("used_at", UtcDateTime),
    Index("ix_script_habit_liked_at", "userid", "liked_at"),
    Index("ix_script_habit_uses", "userid", "uses"),
    Index("ix_script_habit_used_at", "userid", "used_at"),
    Index("ix_script_habit_script_id", "script_id"),
)

# To whom it went is in the send ledger, under the same `once`.
script_use = Table(
    "script_use",
    metadata,
    Column("once", String(160), primary_key=True),
    Column("script_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("userid", String(64), nullable=False),
    Column("is_edited", Boolean, nullable=False, server_default=text("false")),
    Column("used_at", UtcDateTime, nullable=False),
    Index("ix_script_use_script_id", "script_id", "used_at"),
    Index("ix_script_use_used_at", "used_at"),
)

# One row, once somebody has changed something.
script_rule = Table(
    "script_rule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("needs_approval", Boolean, nullable=False, server_default=text("false")),
    Column("banned", Json, nullable=False),
    Column("doubtful", Json, nullable=False),
    Column("changed_by", String(64), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
)
