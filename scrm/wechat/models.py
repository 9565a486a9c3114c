"""Accounts, messages and followers beyond WeCom's own contacts, and the library of keyword replies."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


kf_account = Table(
    "kf_account",
    metadata,
    Column("open_kfid", String(64), primary_key=True),
    _text("name", 80),
    _text("avatar", 512),
    # Said to who enters; empty says nothing.
    Column("welcome", Text, nullable=False, server_default=text("''")),
    # What goes with the welcome: see scrm.wechat.saying.
    Column("attachment", Json, nullable=False, server_default=text("'{}'")),
    # Where a question goes that no keyword answers: pool (waiting for a servicer) or none.
    Column("unanswered", String(8), nullable=False, server_default=text("'pool'")),
    Column("managed", Boolean, nullable=False, server_default=text("true")),
    # How far sync_msg has come; it moves in the transaction that keeps the messages.
    Column("cursor", String(128), nullable=False, server_default=text("''")),
    # When the last complete reading began: what was told before that has been read.
    Column("drained_at", UtcDateTime),
    _text("link", 512),
    Column("created_at", UtcDateTime, nullable=False),
)

kf_message = Table(
    "kf_message",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("msgid", String(64), nullable=False, unique=True),
    Column("open_kfid", String(64), nullable=False),
    _text("external_userid", 64),
    Column("person_id", BigInteger),
    # 3 the customer, 4 an event of the system, 5 a servicer in the client (doc 94670)
    Column("origin", SmallInteger, nullable=False),
    Column("msgtype", String(32), nullable=False),
    _text("servicer_userid", 64),
    Column("content", Json, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_kf_message_visitor", "open_kfid", "external_userid", "sent_at"),
)

# One customer at one account: who answers, and how much may still be said.
kf_visitor = Table(
    "kf_visitor",
    metadata,
    Column("open_kfid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("person_id", BigInteger),
    Column("last_customer_at", UtcDateTime),
    # Messages of ours since then: five is the most.
    Column("sent_since", Integer, nullable=False, server_default=text("0")),
    # 0 new, 1 robot, 2 waiting, 3 human, 4 ended (doc 94669), as far as we heard
    Column("service_state", SmallInteger, nullable=False, server_default=text("0")),
    _text("servicer_userid", 64),
    _text("scene", 128),
    Column("entered_at", UtcDateTime),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_kf_visitor_changed_at", "changed_at"),
)

keyword_reply = Table(
    "keyword_reply",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # As it is compared: folded, without blanks around.
    Column("keyword", String(60), nullable=False),
    # exact, contains
    Column("match", String(8), nullable=False),
    Column("answer", Text, nullable=False),
    # A link, a mini program or a picture that goes with it: see scrm.wechat.saying.
    Column("attachment", Json, nullable=False, server_default=text("'{}'")),
    # both, kf, oa
    Column("channel", String(4), nullable=False, server_default=text("'both'")),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("hits", Integer, nullable=False, server_default=text("0")),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("uq_keyword_reply_keyword", "channel", "match", "keyword", unique=True),
)

oa_follower = Table(
    "oa_follower",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("openid", String(64), primary_key=True),
    Column("person_id", BigInteger),
    _text("unionid", 64),
    Column("subscribed", Boolean, nullable=False, server_default=text("false")),
    Column("subscribed_at", UtcDateTime),
    Column("unsubscribed_at", UtcDateTime),
    # Of the code that was scanned first.
    _text("scene", 128),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_oa_follower_person_id", "person_id"),
    Index("ix_oa_follower_changed_at", "changed_at"),
)

oa_message = Table(
    "oa_message",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # MsgId, or sender, time and event where there is none: WeChat repeats what it got no answer for.
    Column("once", String(200), nullable=False, unique=True),
    Column("app_id", String(64), nullable=False),
    Column("openid", String(64), nullable=False),
    Column("msgtype", String(32), nullable=False),
    _text("event", 64),
    Column("content", Json, nullable=False),
    Column("answer", Text, nullable=False, server_default=text("''")),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_oa_message_openid", "openid", "occurred_at"),
)
