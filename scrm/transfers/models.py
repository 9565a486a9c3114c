"""What was handed over, to whom, and how far it has come."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, UtcDateTime, metadata

# One decision of a manager: these customers and groups of one member go to another.
transfer = Table(
    "transfer",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    # The member who hands over has left the corp.
    Column("resigned", Boolean, nullable=False),
    Column("handover_userid", String(64), nullable=False),
    Column("takeover_userid", String(64), nullable=False),
    Column("message", String(200), nullable=False, server_default=text("''")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
)

_OPEN = text("state IN ('pending', 'asking', 'waiting')")

transfer_customer = Table(
    "transfer_customer",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("transfer_id", ForeignKey("transfer.id"), nullable=False),
    # Again from the transfer: what events and limits look for.
    Column("handover_userid", String(64), nullable=False),
    Column("takeover_userid", String(64), nullable=False),
    Column("external_userid", String(64), nullable=False),
    Column("person_id", BigInteger),
    # pending, asking (intent), waiting (等待接替), done, refused, limit, failed
    Column("state", String(12), nullable=False, server_default=text("'pending'")),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    Column("reason", String(200), nullable=False, server_default=text("''")),
    Column("asked_at", UtcDateTime),
    # Planned by WeCom while waiting, then when it happened.
    Column("takeover_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index("ix_transfer_customer_transfer_id", "transfer_id", "state"),
    Index("ix_transfer_customer_contact", "external_userid", "takeover_userid"),
    # A customer is on the way to one member at a time.
    Index(
        "uq_transfer_customer_open",
        "handover_userid",
        "external_userid",
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    ),
)

transfer_group = Table(
    "transfer_group",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("transfer_id", ForeignKey("transfer.id"), nullable=False),
    Column("handover_userid", String(64), nullable=False),
    Column("chat_id", String(64), nullable=False),
    Column("name", String(120), nullable=False, server_default=text("''")),
    # pending, asking, done, failed
    Column("state", String(12), nullable=False, server_default=text("'pending'")),
    Column("errcode", Integer, nullable=False, server_default=text("0")),
    Column("reason", String(200), nullable=False, server_default=text("''")),
    Column("asked_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index("ix_transfer_group_transfer_id", "transfer_id", "state"),
    Index("ix_transfer_group_owner", "handover_userid", "asked_at"),
)

# Customers whose member has left, as WeCom lists them; rows of a list that was read again whole are replaced.
unassigned_contact = Table(
    "unassigned_contact",
    metadata,
    Column("handover_userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("dimission_at", UtcDateTime),
    Column("seen_at", UtcDateTime, nullable=False),
)
