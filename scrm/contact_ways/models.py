"""Channel codes (渠道活码) and acquisition links (获客链接): which state stands for which channel."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, SmallInteger, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

# One channel: a code that is scanned, or a link that carries a state.
contact_way = Table(
    "contact_way",
    metadata,
    # WeCom gives it back in the event; at most 30 characters.
    Column("state", String(64), primary_key=True),
    Column("config_id", String(64), nullable=False, server_default=text("''")),
    Column("title", String(80), nullable=False),
    # 投放, 直播, 包裹卡, 门店 ...: what playbooks choose by (channel.kind).
    Column("kind", String(40), nullable=False, server_default=text("''")),
    Column("userids", Json, nullable=False, server_default=text("'[]'")),
    Column("qr_code", String(512), nullable=False, server_default=text("''")),
    Column("skip_verify", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", UtcDateTime, nullable=False),
    # The acquisition link whose customer_channel this is; empty for a code.
    Column("link_id", String(64), nullable=False, server_default=text("''")),
    # scrm.contact_ways.plan.Plan: shifts, backup, caps, tags, remark, welcomes.
    Column("plan", Json, nullable=False, server_default=text("'{}'")),
    # What WeCom was last told: {"user": [...], "party": [...], "skip_verify": true}.
    Column("live", Json, nullable=False, server_default=text("'{}'")),
    # Why WeCom does not have what we want, in words.
    Column("problem", String(300), nullable=False, server_default=text("''")),
    # When who receives may change next; None when it never does.
    Column("check_at", UtcDateTime),
    Column("updated_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    # The customer whose own code this is (scrm.referrals); None: the shop's. It leads on after a join.
    Column("inviter_id", BigInteger),
    Index("ix_contact_way_check_at", "check_at"),
    Index(
        "ix_contact_way_inviter_id",
        "inviter_id",
        sqlite_where=text("inviter_id IS NOT NULL"),
        postgresql_where=text("inviter_id IS NOT NULL"),
    ),
    Index("ix_contact_way_link_id", "link_id"),
)

# Whose a state is: every feature that hands one to WeCom claims it here first.
state_owner = Table(
    "state_owner",
    metadata,
    Column("state", String(64), primary_key=True),
    # contact_way, acquisition, join_way ...
    Column("owner_kind", String(32), nullable=False),
    Column("owner_id", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# The ledger: one row for each time a customer came through a channel.
way_add = Table(
    "way_add",
    metadata,
    Column("event_id", BigId, primary_key=True, autoincrement=False),
    Column("state", String(64), nullable=False),
    Column("userid", String(64), nullable=False),
    Column("external_userid", String(64), nullable=False),
    Column("person_id", BigInteger, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    # When this relation ended, by whichever side; None while it lives.
    Column("lost_at", UtcDateTime),
    Index("ix_way_add_state", "state", "added_at"),
    Index("ix_way_add_added_at", "added_at"),
    Index("ix_way_add_pair", "external_userid", "userid"),
    Index("ix_way_add_person_id", "person_id", "added_at"),
)

acquisition_link = Table(
    "acquisition_link",
    metadata,
    Column("link_id", String(64), primary_key=True),
    Column("title", String(80), nullable=False, server_default=text("''")),
    Column("url", String(512), nullable=False, server_default=text("''")),
    Column("userids", Json, nullable=False, server_default=text("'[]'")),
    Column("party", Json, nullable=False, server_default=text("'[]'")),
    Column("skip_verify", Boolean, nullable=False, server_default=text("true")),
    # ok, unavailable (nobody of it can be added), deleted
    Column("condition", String(16), nullable=False, server_default=text("'ok'")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime),
)

# What WeCom tells of a link's customers (docs 97298, 97299).
acquisition_customer = Table(
    "acquisition_customer",
    metadata,
    Column("link_id", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("userid", String(64), primary_key=True),
    Column("state", String(64), nullable=False, server_default=text("''")),
    # 0 no message yet, 1 the customer wrote, 2 unknown
    Column("chat_status", SmallInteger, nullable=False, server_default=text("2")),
    Column("started_chat_at", UtcDateTime),
    Column("noticed_at", UtcDateTime, nullable=False),
)

# Steps towards an add that WeCom counts out to us without naming anybody: opened, asked.
acquisition_step = Table(
    "acquisition_step",
    metadata,
    Column("link_id", String(64), primary_key=True),
    Column("state", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),  # the shop's day, 2026-03-01
    # open_profile, friend_request, message_from_customer: counted by us as their events come.
    # told_clicks, told_adds: WeCom's own count of a day that is over, of the whole link (state '').
    Column("step", String(24), primary_key=True),
    Column("times", Integer, nullable=False, server_default=text("0")),
)

# One row: what is left of what the corp bought.
acquisition_quota = Table(
    "acquisition_quota",
    metadata,
    Column("id", SmallInteger, primary_key=True),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("balance", Integer, nullable=False, server_default=text("0")),
    # [{"expire_date": epoch seconds, "balance": n}]
    Column("parts", Json, nullable=False, server_default=text("'[]'")),
    # The latest warning: '', balance_low, balance_exhausted, quota_expire_soon
    Column("warning", String(24), nullable=False, server_default=text("''")),
    Column("warned_at", UtcDateTime),
    Column("checked_at", UtcDateTime),
)

# One row: the picture in the middle of our own QR codes, instead of the setting shop.logo.
qr_logo = Table(
    "qr_logo",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sha256", ForeignKey("media_original.sha256"), nullable=False),
    Column("set_by", String(64), nullable=False, server_default=text("''")),
    Column("set_at", UtcDateTime, nullable=False),
)
