"""Customer groups (客户群), their members, the history of joins and leaves, and join codes (群活码)."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, SmallInteger, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

group_chat = Table(
    "group_chat",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("chat_id", String(64), nullable=False, unique=True),
    Column("name", String(160), nullable=False, server_default=text("''")),
    Column("owner", String(64), nullable=False, server_default=text("''")),
    Column("notice", Text, nullable=False, server_default=text("''")),
    Column("admins", Json, nullable=False, server_default=text("'[]'")),
    # 0 normal, 1 owner left, 2 being inherited, 3 inherited (doc 92120)
    Column("status", SmallInteger, nullable=False, server_default=text("0")),
    # Of the member list we hold, and of the newest event that we have heard of and not yet fetched.
    Column("member_version", String(64), nullable=False, server_default=text("''")),
    Column("told_version", String(64), nullable=False, server_default=text("''")),
    # Kept in step with group_chat_member in the same transaction.
    Column("members", Integer, nullable=False, server_default=text("0")),
    Column("customers", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("refreshed_at", UtcDateTime),
    Column("dismissed_at", UtcDateTime),
    Index("ix_group_chat_owner", "owner"),
)

# Who is in a group now; `userid` is a member's userid or a customer's external_userid.
group_chat_member = Table(
    "group_chat_member",
    metadata,
    Column("chat_id", String(64), primary_key=True),
    Column("userid", String(64), primary_key=True),
    # 1 a member of the corp, 2 a customer or another outsider
    Column("type", SmallInteger, nullable=False),
    Column("unionid", String(64), nullable=False, server_default=text("''")),
    Column("name", String(120), nullable=False, server_default=text("''")),
    Column("group_nickname", String(120), nullable=False, server_default=text("''")),
    Column("joined_at", UtcDateTime, nullable=False),
    # 1 invited directly, 2 by a link, 3 by a QR code (doc 92122)
    Column("join_scene", SmallInteger, nullable=False, server_default=text("0")),
    Column("invitor", String(64), nullable=False, server_default=text("''")),
    # Of the join code that was scanned.
    Column("state", String(64), nullable=False, server_default=text("''")),
    Index("ix_group_chat_member_userid", "userid"),
    Index("ix_group_chat_member_unionid", "unionid"),
)

# The history: each join and each leave once.
group_chat_change = Table(
    "group_chat_change",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("chat_id", String(64), nullable=False),
    Column("userid", String(64), nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("kind", String(8), nullable=False),  # joined, left
    Column("at", UtcDateTime, nullable=False),
    # joined: 1 invited, 2 link, 3 QR code; left: 0 of their own will, 1 removed; -1 not known
    Column("scene", SmallInteger, nullable=False, server_default=text("-1")),
    Column("invitor", String(64), nullable=False, server_default=text("''")),
    Column("state", String(64), nullable=False, server_default=text("''")),
    Column("name", String(120), nullable=False, server_default=text("''")),
    # False: no event told us, a fetch found it; `noticed_at` says when.
    Column("is_told", Boolean, nullable=False, server_default=text("true")),
    Column("noticed_at", UtcDateTime, nullable=False),
    # It stands on the board of missed callbacks.
    Column("is_reported", Boolean, nullable=False, server_default=text("false")),
    Index("ix_group_chat_change_untold", "at", sqlite_where=text("NOT is_told"), postgresql_where=text("NOT is_told")),
    Index("uq_group_chat_change_once", "chat_id", "userid", "kind", "at", unique=True),
    Index("ix_group_chat_change_at", "at"),
)

# What events said of joins and leaves, until the next fetch of the group has used it.
group_chat_hint = Table(
    "group_chat_hint",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("chat_id", String(64), nullable=False),
    Column("userid", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("scene", SmallInteger, nullable=False, server_default=text("-1")),
    Index("ix_group_chat_hint_chat_id", "chat_id"),
)

# Our own tags on groups; WeCom knows none.
group_chat_tag = Table(
    "group_chat_tag",
    metadata,
    Column("chat_id", String(64), primary_key=True),
    Column("name", String(30), primary_key=True),
    Index("ix_group_chat_tag_name", "name"),
)

# 群活码: a stable address of ours that shows the code of the group whose turn it is.
group_join_code = Table(
    "group_join_code",
    metadata,
    Column("state", String(30), primary_key=True),
    Column("token", String(40), nullable=False, unique=True),
    Column("title", String(80), nullable=False),
    Column("guidance", String(200), nullable=False, server_default=text("''")),
    # A group with this many people in it gives way to the next one.
    Column("most_members", Integer, nullable=False, server_default=text("200")),
    Column("auto_create_room", Boolean, nullable=False, server_default=text("false")),
    Column("room_base_name", String(40), nullable=False, server_default=text("''")),
    Column("room_base_id", Integer, nullable=False, server_default=text("1")),
    Column("created_at", UtcDateTime, nullable=False),
)

group_join_slot = Table(
    "group_join_slot",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("state", ForeignKey("group_join_code.state", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("chat_id", String(64), nullable=False),
    Column("config_id", String(64), nullable=False),
    Column("qr_code", String(512), nullable=False),
    Column("expires_at", UtcDateTime),
    Index("uq_group_join_slot_chat", "state", "chat_id", unique=True),
)

# 入群欢迎语素材, as we gave it to WeCom.
group_welcome = Table(
    "group_welcome",
    metadata,
    Column("template_id", String(64), primary_key=True),
    Column("title", String(80), nullable=False),
    Column("content", Text, nullable=False, server_default=text("''")),
    Column("attachment", Json),
    Column("changed_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
