"""Coupons that an order says it used: redeemed when it is paid, given back when it comes to nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, or_, select, update

from scrm.commerce.canonical import CouponUse, Order
from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch, coupon_code, coupon_issue, order_coupon, orders
from scrm.db import upsert
from scrm.db.bulk import among

_FULLY_REFUNDED = "refunded"


def follow(conn: Connection, saved: Iterable[tuple[Order, int]], *, now: datetime) -> None:
    """After orders were kept, given as (order, its id): what they say of coupons comes true. Twice changes nothing."""
    pairs = list(saved)
    rows = {
        (order_id, _as_typed(use)): {"order_id": order_id, "code": _as_typed(use), "discount_fen": use.discount_fen}
        for order, order_id in pairs
        for use in order.coupons or ()
        if _as_typed(use)
    }
    if rows:
        statement = upsert(order_coupon, conn)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=["order_id", "code"], set_={"discount_fen": statement.excluded.discount_fen}
            ),
            list(rows.values()),
        )
    settle(conn, {order_id for _, order_id in pairs}, now=now)


def settle_new(conn: Connection, order_ids: Sequence[int], *, now: datetime) -> None:
    """`settle` for orders that say nothing of coupons themselves: a till may have told one of their numbers."""
    waiting = select(coupon_issue.c.id).where(coupon_issue.c.order_id.is_(None), _HAS_NUMBER).limit(1)
    if conn.execute(waiting).first() is not None:
        settle(conn, set(order_ids), now=now)


# Said in words, so that the index of those that wait is used.
_HAS_NUMBER: ColumnElement[bool] = literal_column("coupon_issue.order_no <> ''")


def _as_typed(use: CouponUse) -> str:
    return use.code.strip()


def settle(conn: Connection, order_ids: set[int], *, now: datetime) -> None:
    """Make the coupons of these orders agree with how the orders stand."""
    if not order_ids:
        return
    _find_orders_of_tills(conn, order_ids)
    uses: list[Any] = list(
        conn.execute(
            select(order_coupon.c.code, order_coupon.c.discount_fen, *_ORDER)
            .join(orders, orders.c.id == order_coupon.c.order_id)
            .where(among(conn, order_coupon.c.order_id, sorted(order_ids)))
            .order_by(order_coupon.c.order_id, order_coupon.c.code)
        )
    )
    for use in uses:
        if _counts(use):
            _redeem(conn, use, now)
    _give_back(conn, order_ids, now)


_ORDER = (
    orders.c.id.label("order_id"),
    orders.c.order_no,
    orders.c.channel,
    orders.c.shop_key,
    orders.c.status,
    orders.c.payment_status,
    orders.c.paid_at,
    orders.c.paid_fen,
    orders.c.refunded_fen,
)


def _counts(order: Row[Any]) -> bool:
    """Paid, or free thanks to the coupon, and neither cancelled nor refunded as a whole."""
    if order.status in ("cancelled", "closed", "pending_payment", "unknown"):
        return False
    return order.payment_status != _FULLY_REFUNDED and not (0 < order.paid_fen <= order.refunded_fen)


def _redeem(conn: Connection, use: Row[Any], now: datetime) -> None:
    issue_id = coupons.seek_code(conn, use.code)
    if issue_id is None:
        # In a pool of ours and used by somebody we did not give it to: never to be given to anybody.
        conn.execute(
            update(coupon_code)
            .where(
                coupon_code.c.code.in_({use.code, use.code.upper(), use.code.lower()}),
                coupon_code.c.issue_id.is_(None),
            )
            .values(issue_id=0)
        )
        return
    coupon = coupons.get_issue(conn, issue_id)
    if coupon.state not in ("issued", "void"):
        return
    # The shop took it: our own clock and our withdrawal come too late.
    withdrawn = coupon.redemption if coupon.state == "void" else None
    _use(conn, coupon, use, now, withdrawn)
    coupons.tell(conn, "coupon.redeemed", coupons.get_issue(conn, coupon.id), now, order_no=use.order_no)


def _use(conn: Connection, coupon: coupons.Issue, use: Row[Any], now: datetime, withdrawn: Any) -> None:
    used_at = use.paid_at or now
    conn.execute(
        update(coupon_issue)
        .where(coupon_issue.c.id == coupon.id)
        .values(
            state="redeemed",
            redeemed_at=used_at,
            redemption={
                "redeemed_at": used_at.isoformat(),
                "by": "order",
                "order_no": use.order_no,
                "channel": use.channel,
                "store": use.shop_key,
                # Comes the order to nothing, it is withdrawn again.
                **({"void": withdrawn} if withdrawn else {}),
            },
            order_no=use.order_no,
            order_id=use.order_id,
            discount_fen=use.discount_fen or coupons.discount_of(coupon, None),
            delivered_at=coupon.delivered_at or used_at,
            tell_at=None,
        )
    )


def _find_orders_of_tills(conn: Connection, order_ids: set[int]) -> None:
    """A till told the order's number before we had the order; another person's order may have it too, elsewhere."""
    found = conn.execute(
        select(coupon_issue.c.id, orders.c.id.label("order_id"))
        .join(orders, orders.c.order_no == coupon_issue.c.order_no)
        .where(
            among(conn, orders.c.id, sorted(order_ids)),
            coupon_issue.c.order_id.is_(None),
            coupon_issue.c.order_no != "",
            or_(orders.c.person_id.is_(None), orders.c.person_id == coupon_issue.c.person_id),
        )
    ).all()
    for row in found:
        conn.execute(
            update(coupon_issue)
            .where(coupon_issue.c.id == row.id, coupon_issue.c.order_id.is_(None))
            .values(order_id=row.order_id)
        )


def _give_back(conn: Connection, order_ids: set[int], now: datetime) -> None:
    used: list[Any] = list(
        conn.execute(
            select(coupon_issue.c.id, *_ORDER)
            .join(orders, orders.c.id == coupon_issue.c.order_id)
            .join(coupon_batch, coupon_batch.c.key == coupon_issue.c.batch_key)
            .where(
                among(conn, coupon_issue.c.order_id, sorted(order_ids)),
                coupon_issue.c.state == "redeemed",
                coupon_batch.c.gives_back.is_(True),
                or_(
                    orders.c.status.in_(("cancelled", "closed")),
                    orders.c.refunded_fen > 0,
                    orders.c.payment_status != "",
                ),
            )
        )
    )
    spent = []
    for row in used:
        if _counts(row) or row.status in ("pending_payment", "unknown"):
            continue
        coupon = coupons.get_issue(conn, row.id)
        other = _other_use(conn, coupon)
        if other is None:
            spent.append(row.id)
        else:
            _use(conn, coupon, other, now, (coupon.redemption or {}).get("void"))
    if spent:
        coupons_lifecycle.give_back(conn, spent, now=now, reason="退款返还")


def _other_use(conn: Connection, coupon: coupons.Issue) -> Any:
    """Another order of the person that used it, too: shops take some codes more than once."""
    uses: Iterable[Any] = conn.execute(
        select(order_coupon.c.code, order_coupon.c.discount_fen, *_ORDER)
        .join(orders, orders.c.id == order_coupon.c.order_id)
        .where(
            orders.c.person_id == coupon.person_id,
            orders.c.id != coupon.order_id,
            func.lower(order_coupon.c.code) == coupon.code.lower(),
        )
        .order_by(orders.c.id)
    )
    return next((use for use in uses if _counts(use)), None)


def link_order(conn: Connection, issue_id: int, order_no: str) -> None:
    """The order a till names, when we have exactly one of that number."""
    if not order_no:
        return
    ids = conn.execute(select(orders.c.id).where(orders.c.order_no == order_no).limit(2)).scalars().all()
    if len(ids) == 1:
        conn.execute(update(coupon_issue).where(coupon_issue.c.id == issue_id).values(order_id=ids[0]))


def redeem_at_till(
    conn: Connection,
    code: str,
    *,
    now: datetime,
    by: str,
    order_no: str = "",
    store: str = "",
    amount_fen: int | None = None,
) -> coupons.Issue:
    """`coupons.redeem`, with the order found by its number where we have it."""
    used = coupons.redeem(conn, code, now=now, by=by, order_no=order_no, store=store, amount_fen=amount_fen)
    link_order(conn, used.id, order_no)
    return coupons.get_issue(conn, used.id)
