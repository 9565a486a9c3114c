"""Persons, the ways we know them, and the members who follow them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# A natural person, kept apart from the members who follow them.
person = Table(
    "person",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", String(120), nullable=False, server_default=text("''")),
    Column("stage", String(40), nullable=False, server_default=text("''")),
    # {"promo": true, ...}: what this person refused, across all members and channels.
    Column("optout", Json, nullable=False, server_default=text("'{}'")),
    # 负责人, chosen by a person; empty: whoever talked last, or was added first.
    Column("owner_userid", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_person_stage", "stage", "id", sqlite_where=text("stage <> ''"), postgresql_where=text("stage <> ''")),
    # Those who refused something, or once did.
    Index(
        "ix_person_optout", "id", sqlite_where=text("optout <> '{}'"), postgresql_where=text("optout <> '{}'::jsonb")
    ),
    # An id is never given twice: where it was joined into another, it leads there for ever.
    sqlite_autoincrement=True,
)

# Kept up to date in the transaction that changes an order; feeds profile, segments and conditions.
person_stat = Table(
    "person_stat",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("orders", Integer, nullable=False, server_default=text("0")),
    Column("paid_orders", Integer, nullable=False, server_default=text("0")),
    Column("paid_fen", BigInteger, nullable=False, server_default=text("0")),
    Column("refunded_fen", BigInteger, nullable=False, server_default=text("0")),
    Column("open_refunds", Integer, nullable=False, server_default=text("0")),
    Column("first_paid_at", UtcDateTime),
    Column("last_paid_at", UtcDateTime),
    Column("last_order_at", UtcDateTime),
    # What RFM counts: orders with money left after refunds, that money, and when the newest of them was paid.
    Column("kept_orders", Integer, nullable=False, server_default=text("0")),
    Column("kept_fen", BigInteger, nullable=False, server_default=text("0")),
    Column("last_kept_at", UtcDateTime),
    # Whose first order was paid on a day, for its anniversary.
    Index(
        "ix_person_stat_first_paid_at",
        "first_paid_at",
        sqlite_where=text("first_paid_at IS NOT NULL"),
        postgresql_where=text("first_paid_at IS NOT NULL"),
    ),
    # How lists of customers are ordered.
    Index(
        "ix_person_stat_paid",
        "paid_fen",
        "person_id",
        sqlite_where=text("paid_fen > 0"),
        postgresql_where=text("paid_fen > 0"),
    ),
    Index(
        "ix_person_stat_last_order",
        "last_order_at",
        "person_id",
        sqlite_where=text("last_order_at IS NOT NULL"),
        postgresql_where=text("last_order_at IS NOT NULL"),
    ),
)

# Custom fields that playbooks and staff set: {key, value}.
person_field = Table(
    "person_field",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", Json),
    # What conditions compare, and what makes a unique field's value belong to one person.
    Column("text_value", String(500)),
    Column("number_value", Double),
    Column("claim", String(64)),
    Column("source", String(80), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_person_field_text", "key", "text_value"),
    Index("ix_person_field_number", "key", "number_value"),
    Index("uq_person_field_claim", "key", "claim", unique=True),
)

# kind: wecom_external_userid, wx_unionid, mobile_e164 ...; one value belongs to one person.
identity = Table(
    "identity",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("scope", String(80), nullable=False, server_default=text("''")),
    # The value itself, or its keyed HMAC where the clear value is private (phones).
    Column("value", String(128), nullable=False),
    Column("sealed", Text, nullable=False, server_default=text("''")),
    Column("mask", String(40), nullable=False, server_default=text("''")),
    # auto, staff, order, api
    Column("source", String(40), nullable=False),
    # verified, told, guessed: see scrm.profiles.identities
    Column("confidence", String(12), nullable=False, server_default=text("'told'")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("uq_identity_value", "kind", "scope", "value", unique=True),
    Index("ix_identity_person_id", "person_id"),
    # Phones by their last four figures, which the mask shows.
    Index(
        "ix_identity_phone_tail",
        text("substr(mask, length(mask) - 3)"),
        "person_id",
        sqlite_where=text("kind = 'mobile_e164'"),
        postgresql_where=text("kind = 'mobile_e164'"),
    ),
)

external_contact = Table(
    "external_contact",
    metadata,
    Column("external_userid", String(64), primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("name", String(120), nullable=False, server_default=text("''")),
    Column("avatar", String(512), nullable=False, server_default=text("''")),
    # 1 WeChat user, 2 WeCom user of another corp, 0 not known yet
    Column("type", SmallInteger, nullable=False, server_default=text("0")),
    Column("gender", SmallInteger, nullable=False, server_default=text("0")),
    Column("unionid", String(64), nullable=False, server_default=text("''")),
    Column("corp_name", String(120), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("refreshed_at", UtcDateTime),
    Index("ix_external_contact_person_id", "person_id"),
)

# One member following one contact, as WeCom's follow_user list has it.
follow_user = Table(
    "follow_user",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("remark", String(120), nullable=False, server_default=text("''")),
    Column("description", String(400), nullable=False, server_default=text("''")),
    Column("remark_company", String(80), nullable=False, server_default=text("''")),
    Column("add_way", Integer, nullable=False, server_default=text("0")),
    Column("state", String(64), nullable=False, server_default=text("''")),
    Column("oper_userid", String(64), nullable=False, server_default=text("''")),
    # The member has not confirmed yet (add_half_external_contact).
    Column("is_half", Boolean, nullable=False, server_default=text("false")),
    # Since when the customer agrees to the archiving of this chat; None: not that we know.
    Column("archive_agreed_at", UtcDateTime),
    Column("followed_at", UtcDateTime, nullable=False),
    # Who ended it: '' (it lives), 'customer' (one-way now) or 'member'.
    Column("ended_by", String(10), nullable=False, server_default=text("''")),
    Column("ended_at", UtcDateTime),
    # With all that a segment by tag reads: in the order of the tag's own index.
    Index("ix_follow_user_external_userid", "external_userid", "userid", "ended_by", "person_id"),
    Index("ix_follow_user_person_id", "person_id"),
    Index("ix_follow_user_followed_at", "followed_at"),
    # Who came by a channel.
    Index(
        "ix_follow_user_state",
        "state",
        "person_id",
        "ended_by",
        sqlite_where=text("state <> ''"),
        postgresql_where=text("state <> ''"),
    ),
    # How many customers each member has.
    Index(
        "ix_follow_user_living",
        "userid",
        "is_half",
        sqlite_where=text("ended_by = ''"),
        postgresql_where=text("ended_by = ''"),
    ),
    # Who is new to a member.
    Index("ix_follow_user_new", "userid", "followed_at"),
    # Whom a member lost.
    Index(
        "ix_follow_user_lost",
        "userid",
        "ended_at",
        sqlite_where=text("ended_by = 'customer'"),
        postgresql_where=text("ended_by = 'customer'"),
    ),
)

# type: 1 corp tag, 2 personal tag (no tag_id: the name stands for it), 3 strategy tag
follow_user_tag = Table(
    "follow_user_tag",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("tag_id", String(80), primary_key=True),
    Column("group_name", String(80), nullable=False, server_default=text("''")),
    Column("tag_name", String(80), nullable=False, server_default=text("''")),
    Column("type", SmallInteger, nullable=False, server_default=text("1")),
    # Who put it: wecom (a member in the client, or before our time), staff, playbook, channel, import, api.
    Column("source", String(16), nullable=False, server_default=text("'wecom'")),
    Column("reason", String(200), nullable=False, server_default=text("''")),
    Column("put_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Index("ix_follow_user_tag_contact", "external_userid"),
    Index("ix_follow_user_tag_tag_id", "tag_id", "external_userid", "userid"),
    Index("ix_follow_user_tag_expires_at", "expires_at"),
)

# What we want a relation's tags to be and WeCom was not told yet; the latest wish about a tag counts.
tag_wish = Table(
    "tag_wish",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    # A tag's name as authors write it, or its id.
    Column("tag", String(80), primary_key=True),
    Column("is_wanted", Boolean, nullable=False),
    Column("source", String(16), nullable=False),
    Column("reason", String(200), nullable=False, server_default=text("''")),
    Column("expires_at", UtcDateTime),
    Column("wanted_at", UtcDateTime, nullable=False),
    # Grows with each change, so that an answer to an older wish does not settle a newer one.
    Column("turn", Integer, nullable=False, server_default=text("0")),
    # Why it cannot be had, in words; empty while it waits.
    Column("problem", String(300), nullable=False, server_default=text("''")),
    Index("ix_tag_wish_wanted_at", "wanted_at"),
)

# What a member wrote of a customer, until WeCom has it.
remark_wish = Table(
    "remark_wish",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    # {remark?, description?, remark_company?}
    Column("changes", Json, nullable=False),
    # Why WeCom does not take it, in words; empty while it waits.
    Column("problem", String(300), nullable=False, server_default=text("''")),
    # Grows with each change, so that an answer to older words does not settle newer ones.
    Column("turn", Integer, nullable=False, server_default=text("1")),
    Column("wanted_at", UtcDateTime, nullable=False),
)

corp_tag = Table(
    "corp_tag",
    metadata,
    Column("tag_id", String(64), primary_key=True),
    Column("tag_name", String(80), nullable=False),
    Column("group_id", String(64), nullable=False, server_default=text("''")),
    Column("group_name", String(80), nullable=False, server_default=text("''")),
    Column("is_deleted", Boolean, nullable=False, server_default=text("false")),
    # WeCom shows the larger first, tags within their group and groups among each other.
    Column("sort_order", BigInteger, nullable=False, server_default=text("0")),
    Column("group_order", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_corp_tag_name", "tag_name"),
)

# What the shop adds to WeCom's groups of tags.
corp_tag_group = Table(
    "corp_tag_group",
    metadata,
    Column("group_id", String(64), primary_key=True),
    # 互斥: a relation carries one tag of the group at most.
    Column("is_exclusive", Boolean, nullable=False, server_default=text("false")),
)

member = Table(
    "member",
    metadata,
    Column("userid", String(64), primary_key=True),  # as WeCom spells it; compared case-folded
    Column("folded", String(64), nullable=False, unique=True),
    Column("name", String(80), nullable=False, server_default=text("''")),
    Column("alias", String(80), nullable=False, server_default=text("''")),
    Column("avatar", String(512), nullable=False, server_default=text("''")),
    # member, manager, administrator
    Column("role", String(20), nullable=False, server_default=text("'member'")),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("refreshed_at", UtcDateTime),
    # Userids of the direct leaders (直属上级), and ids of the departments that this member leads.
    Column("leaders", Json, nullable=False, server_default=text("'[]'")),
    Column("leads", Json, nullable=False, server_default=text("'[]'")),
)

department = Table(
    "department",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(80), nullable=False, server_default=text("''")),
    Column("parent_id", Integer, nullable=False, server_default=text("0")),
    # A larger number comes first.
    Column("sort_order", BigInteger, nullable=False, server_default=text("0")),
)

member_department = Table(
    "member_department",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("department_id", Integer, primary_key=True),
    Index("ix_member_department_department_id", "department_id"),
)

# Members with the 客户联系 function, as get_follow_user_list names them; `ended_at` when it does no more.
customer_contact_member = Table(
    "customer_contact_member",
    metadata,
    Column("userid", String(64), primary_key=True),
    # Since when we would have been told of this member's customers: what is older was there before we looked.
    Column("watched_since", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
)
