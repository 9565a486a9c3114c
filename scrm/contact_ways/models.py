"""Channel codes (渠道活码): which state stands for which channel."""

from sqlalchemy import Boolean, Column, String, Table, text

from scrm.db.tables import Json, UtcDateTime, metadata

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
)
