"""老带新: campaigns, and the ledger of friends whom customers brought."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, UtcDateTime, metadata

# One campaign; of those that run at a moment the one that began last counts.
referral_campaign = Table(
    "referral_campaign",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("title", String(40), nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    # None: until somebody stops it.
    Column("ends_at", UtcDateTime),
    # What the customers read on the page behind their own code.
    Column("rules", String(1000), nullable=False, server_default=text("''")),
    # A friend's order counts when it was paid within so many days of the add ...
    Column("order_days", Integer, nullable=False, server_default=text("30")),
    # ... and so many days later something of it is left: the time in which goods come back.
    Column("return_days", Integer, nullable=False, server_default=text("15")),
    # Who deletes the member sooner than this was no friend.
    Column("stay_days", Integer, nullable=False, server_default=text("7")),
    # Friends of one customer on one day; more do not count. None: no limit.
    Column("daily_most", Integer),
    # From this many valid friends of one customer on, a manager looks at each. None: never.
    Column("review_above", Integer),
    # Valid friends of the whole campaign. None: no limit.
    Column("most", Integer),
    # Whether friends read the nickname of the customer who brought them, or its first character only.
    Column("shows_names", Boolean, nullable=False, server_default=text("false")),
    Column("created_by", String(64), nullable=False, server_default=text("''")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("stopped_at", UtcDateTime),
    Index("ix_referral_campaign_starts_at", "starts_at"),
)

# The ledger: one row for each friend, for ever.
referral = Table(
    "referral",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("campaign_id", ForeignKey("referral_campaign.id"), nullable=False),
    # The friend.
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("inviter_id", BigInteger, nullable=False),
    Column("userid", String(64), nullable=False),
    Column("external_userid", String(64), nullable=False),
    # The event contact.added.
    Column("event_id", BigInteger, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    # pending, review, valid, void
    Column("state", String(8), nullable=False),
    # A word of scrm.referrals.rules.REASONS, or what a manager wrote.
    Column("reason", String(200), nullable=False, server_default=text("''")),
    # The order that made it valid.
    Column("order_id", BigInteger),
    # When to look again; None when nothing is to come.
    Column("look_at", UtcDateTime),
    Column("decided_at", UtcDateTime),
    # The manager who decided; '' when the rules did.
    Column("decided_by", String(64), nullable=False, server_default=text("''")),
    # Who comes twice, by whomever, is one friend.
    Index("uq_referral_person_id", "person_id", unique=True),
    Index("ix_referral_inviter_id", "inviter_id", "added_at"),
    Index("ix_referral_campaign_id", "campaign_id", "id"),
    Index("ix_referral_state", "state", "id"),
    Index(
        "ix_referral_look_at",
        "look_at",
        sqlite_where=text("look_at IS NOT NULL"),
        postgresql_where=text("look_at IS NOT NULL"),
    ),
)
