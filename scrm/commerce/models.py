"""Shops' orders in their canonical form, and coupons."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata


def _fen(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False, server_default=text("''"))


IS_PURCHASE = "paid_at IS NOT NULL AND paid_fen > 0 AND NOT is_test AND payment_status <> 'partially_paid'"

orders = Table(
    "orders",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("channel", String(24), nullable=False),
    Column("shop_key", String(80), nullable=False, server_default=text("''")),
    Column("order_no", String(80), nullable=False),
    # None until the buyer is known.
    Column("person_id", ForeignKey("person.id")),
    # How the buyer was found: unionid, phone, staff.
    _text("bound_by", 16),
    _text("parent_order_no", 80),
    Column("status", String(24), nullable=False),
    _text("payment_status", 24),
    _text("fulfillment_status", 24),
    _text("aftersale_status", 24),
    _text("raw_status", 80),
    Column("currency", String(3), nullable=False, server_default=text("'CNY'")),
    _fen("goods_fen"),
    _fen("freight_fen"),
    _fen("discount_fen"),
    _fen("platform_discount_fen"),
    _fen("payable_fen"),
    _fen("paid_fen"),
    _fen("refunded_fen"),
    Column("ordered_at", UtcDateTime),
    Column("paid_at", UtcDateTime),
    Column("shipped_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("platform_updated_at", UtcDateTime),
    _text("buyer_unionid", 64),
    _text("buyer_phone_lookup", 64),
    _text("buyer_name_mask", 80),
    # The last four characters of the number and of the receiver's or buyer's phone, to be found by.
    _text("no_tail", 4),
    _text("phone_tail", 4),
    # Other ids of the buyer as seen, without private values.
    Column("buyer_ref", Json, nullable=False, server_default=text("'{}'")),
    _text("receiver_mask", 200),
    _text("receiver_sealed", 2000),
    # Of the receiver's address: with millions of others in it, it is nobody's secret (scrm.commerce.provinces).
    _text("province", 12),
    _text("buyer_note", 1000),
    _text("seller_note", 1000),
    Column("is_gift", Boolean, nullable=False, server_default=text("false")),
    Column("is_test", Boolean, nullable=False, server_default=text("false")),
    # api, push, file, erp, manual: see docs/commerce 2.8 for who wins.
    Column("route", String(12), nullable=False, server_default=text("'api'")),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("digest", String(64), nullable=False, server_default=text("''")),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    # The number first: one index serves the natural key and the search by number alone.
    Index("uq_orders_natural_key", "order_no", "channel", "shop_key", unique=True),
    # The list of orders is walked along it.
    Index("ix_orders_ordered_at", "ordered_at", "id"),
    Index(
        "ix_orders_parent_order_no",
        "parent_order_no",
        sqlite_where=text("parent_order_no <> ''"),
        postgresql_where=text("parent_order_no <> ''"),
    ),
    Index(
        "ix_orders_person_id",
        "person_id",
        "ordered_at",
        sqlite_where=text("person_id IS NOT NULL"),
        postgresql_where=text("person_id IS NOT NULL"),
    ),
    # What was bought in a period, for reports: scrm.commerce.totals.is_purchase.
    Index(
        "ix_orders_purchase",
        "paid_at",
        "person_id",
        sqlite_where=text(IS_PURCHASE),
        postgresql_where=text(IS_PURCHASE),
    ),
    # The same by buyer: of a long time it is walked in order instead of sorting everybody (scrm.reports.trade).
    Index(
        "ix_orders_buyer",
        "person_id",
        "paid_at",
        sqlite_where=text(f"{IS_PURCHASE} AND person_id IS NOT NULL"),
        postgresql_where=text(f"{IS_PURCHASE} AND person_id IS NOT NULL"),
    ),
    # Those whose state nobody knew: found again when a manager says what the word means.
    Index(
        "ix_orders_strange",
        "raw_status",
        "id",
        sqlite_where=text("status = 'unknown' AND raw_status <> ''"),
        postgresql_where=text("status = 'unknown' AND raw_status <> ''"),
    ),
    # Orders that wait for their person; nobody looks for the others this way.
    Index(
        "ix_orders_waiting_unionid",
        "buyer_unionid",
        sqlite_where=text("person_id IS NULL AND buyer_unionid <> ''"),
        postgresql_where=text("person_id IS NULL AND buyer_unionid <> ''"),
    ),
    Index(
        "ix_orders_waiting_phone",
        "buyer_phone_lookup",
        sqlite_where=text("person_id IS NULL AND buyer_phone_lookup <> ''"),
        postgresql_where=text("person_id IS NULL AND buyer_phone_lookup <> ''"),
    ),
    Index(
        "ix_orders_waiting_no_tail",
        "no_tail",
        sqlite_where=text("person_id IS NULL AND no_tail <> ''"),
        postgresql_where=text("person_id IS NULL AND no_tail <> ''"),
    ),
    Index(
        "ix_orders_waiting_phone_tail",
        "phone_tail",
        sqlite_where=text("person_id IS NULL AND phone_tail <> ''"),
        postgresql_where=text("person_id IS NULL AND phone_tail <> ''"),
    ),
)

# What was bought in each hour since 1970, kept in the transaction that changes an order (scrm.commerce.hours).
order_hour = Table(
    "order_hour",
    metadata,
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("channel", String(24), primary_key=True),
    _fen("orders"),
    _fen("paid_fen"),
    _fen("refunded_fen"),
    sqlite_with_rowid=False,
)

order_line = Table(
    "order_line",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("line_key", String(120), primary_key=True),
    Column("position", Integer, nullable=False, server_default=text("0")),
    _text("platform_item_id", 80),
    _text("platform_sku_id", 80),
    _text("merchant_sku", 80),
    _text("title", 300),
    _text("spec", 300),
    Column("qty", Integer, nullable=False, server_default=text("1")),
    _fen("unit_price_fen"),
    _fen("discount_fen"),
    _fen("paid_fen"),
    Column("is_gift", Boolean, nullable=False, server_default=text("false")),
    Column("refunded_qty", Integer, nullable=False, server_default=text("0")),
    _fen("refunded_fen"),
    _text("line_status", 40),
    _text("image_url", 500),
    sqlite_with_rowid=False,
)

payment = Table(
    "payment",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("pay_key", String(120), primary_key=True),
    _text("method", 24),
    _fen("amount_fen"),
    Column("paid_at", UtcDateTime),
    _text("phase", 16),
    sqlite_with_rowid=False,
)

shipment = Table(
    "shipment",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("carrier_code", String(40), primary_key=True),
    Column("tracking_no", String(80), primary_key=True),
    _text("carrier_name", 80),
    Column("shipped_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("line_keys", Json, nullable=False, server_default=text("'[]'")),
    _text("source", 24),
    # shipped, in_transit, out_for_delivery, delivered, returned, exception: as far as the express has told
    _text("state", 20),
    Column("state_at", UtcDateTime),
    Index("ix_shipment_tracking_no", "tracking_no"),
    sqlite_with_rowid=False,
)

refund = Table(
    "refund",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("refund_no", String(80), primary_key=True),
    _text("type", 32),
    Column("status", String(24), nullable=False),
    _fen("amount_fen"),
    _text("reason", 300),
    # The channel's own word, where the status is unknown.
    _text("raw_status", 80),
    Column("created_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index(
        "ix_refund_strange",
        "raw_status",
        "order_id",
        sqlite_where=text("status = 'unknown'"),
        postgresql_where=text("status = 'unknown'"),
    ),
    sqlite_with_rowid=False,
)

# One file read once: its hash, what came of it, where its error file lies.
order_import = Table(
    "order_import",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("file_name", String(260), nullable=False),
    Column("file_sha256", String(64), nullable=False),
    Column("format", String(24), nullable=False),
    Column("shop_key", String(80), nullable=False, server_default=text("''")),
    Column("counts", Json, nullable=False, server_default=text("'{}'")),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

# kind: generated (we make a unique code for each issue), pool (codes handed over by the shop), link (a signed link)
coupon_batch = Table(
    "coupon_batch",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("title", String(80), nullable=False),
    # amount (满减), percent (折扣), gift (兑换), freight (包邮)
    Column("benefit", String(16), nullable=False, server_default=text("'amount'")),
    _fen("face_fen"),
    Column("percent_off", Integer, nullable=False, server_default=text("0")),
    _fen("threshold_fen"),
    Column("valid_seconds", Integer),
    Column("valid_until", UtcDateTime),
    # Where a `link` batch leads; {code} and {token} are filled in.
    _text("url", 500),
    _text("rules", 1000),
    # None: no limit.
    Column("budget_count", Integer),
    Column("issued_count", Integer, nullable=False, server_default=text("0")),
    # None: no limit for one person.
    Column("per_person", Integer),
    # How long before its end a coupon is spoken of once more; None: by how long it lives.
    Column("remind_seconds", Integer),
    # Whether a refunded order gives its coupon back.
    Column("gives_back", Boolean, nullable=False, server_default=text("true")),
    # playbook, console or api: who says what its coupons are.
    Column("origin", String(12), nullable=False, server_default=text("'playbook'")),
    Column("stopped_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)

coupon_code = Table(
    "coupon_code",
    metadata,
    Column("batch_key", ForeignKey("coupon_batch.key"), primary_key=True),
    Column("code", String(64), primary_key=True),
    # 0: somebody used it to whom we had not given it.
    Column("issue_id", BigInteger),
    Index("uq_coupon_code_code", "code", unique=True),
    Index(
        "ix_coupon_code_free",
        "batch_key",
        "code",
        sqlite_where=text("issue_id IS NULL"),
        postgresql_where=text("issue_id IS NULL"),
    ),
)

coupon_issue = Table(
    "coupon_issue",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("batch_key", ForeignKey("coupon_batch.key"), nullable=False),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    # Why it was issued: "playbook:run_key"; the same reason never gets a second coupon.
    Column("reason_key", String(200), nullable=False),
    Column("code", String(64), nullable=False, unique=True),
    # The secret of the customer's own page /c/{token}.
    Column("token", String(64), nullable=False, unique=True),
    # issued, redeemed, void, released (never reached its customer); expired follows from expires_at
    Column("state", String(12), nullable=False, server_default=text("'issued'")),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("opened_at", UtcDateTime),
    Column("redeemed_at", UtcDateTime),
    Column("redemption", Json),
    # None: reserved, nobody knows yet whether it reached the customer.
    Column("delivered_at", UtcDateTime),
    # When the next thing is to be told of it: that it will expire, that it has.
    Column("tell_at", UtcDateTime),
    # The order that used it, by number as told and by id once we have it.
    _text("order_no", 80),
    Column("order_id", BigInteger),
    _fen("discount_fen"),
    Column("restored", Integer, nullable=False, server_default=text("0")),
    Index(
        "ix_coupon_issue_undelivered",
        "issued_at",
        sqlite_where=text("state = 'issued' AND delivered_at IS NULL"),
        postgresql_where=text("state = 'issued' AND delivered_at IS NULL"),
    ),
    Index(
        "ix_coupon_issue_tell_at",
        "tell_at",
        sqlite_where=text("state = 'issued' AND tell_at IS NOT NULL"),
        postgresql_where=text("state = 'issued' AND tell_at IS NOT NULL"),
    ),
    Index(
        "ix_coupon_issue_order_id",
        "order_id",
        sqlite_where=text("order_id IS NOT NULL"),
        postgresql_where=text("order_id IS NOT NULL"),
    ),
    Index(
        "ix_coupon_issue_order_no",
        "order_no",
        sqlite_where=text("order_id IS NULL AND order_no <> ''"),
        postgresql_where=text("order_id IS NULL AND order_no <> ''"),
    ),
    Index("ix_coupon_issue_batch", "batch_key", "id"),
    # What was issued in a period, for reports.
    Index("ix_coupon_issue_issued_at", "issued_at", "batch_key"),
    Index("uq_coupon_issue_reason", "batch_key", "person_id", "reason_key", unique=True),
    Index("ix_coupon_issue_person_id", "person_id", "issued_at"),
)

# The coupons that an order says it used, ours or others'.
order_coupon = Table(
    "order_coupon",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("code", String(64), primary_key=True),
    _fen("discount_fen"),
    sqlite_with_rowid=False,
)

# Words for an order's state that a source used and we did not know; `status` is what a manager says they mean.
order_status_word = Table(
    "order_status_word",
    metadata,
    # The key of a file's format (jd, mapped:NAME) or of a source in the settings.
    Column("source", String(80), primary_key=True),
    Column("word", String(80), primary_key=True),
    _text("status", 24),
    # How often it came while nobody had said what it means.
    Column("seen", BigInteger, nullable=False, server_default=text("0")),
    # The first order that had it, and what that was taken for.
    _text("order_no", 80),
    _text("taken_as", 24),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    _text("mapped_by", 64),
)
