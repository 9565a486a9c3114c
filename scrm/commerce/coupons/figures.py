"""What became of each batch of coupons, counted from the coupons themselves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, select

from scrm.commerce.models import coupon_batch, coupon_code, coupon_issue, orders
from scrm.db.bulk import among


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one batch; money in fen. `revenue_fen` is what the orders that used it really brought."""

    issued: int = 0
    reserved: int = 0
    opened: int = 0
    redeemed: int = 0
    expired: int = 0
    released: int = 0
    cost_fen: int = 0
    revenue_fen: int = 0
    orders: int = 0


def count(conn: Connection, now: datetime, batch_key: str | None = None) -> dict[str, Figures]:
    """By batch; those without coupons are left out. `issued` does not count the released."""
    state, table = coupon_issue.c.state, coupon_issue.c
    is_over = and_(state == "issued", table.expires_at.is_not(None), table.expires_at <= now)
    query = select(
        table.batch_key,
        _count(state != "released").label("issued"),
        _count(and_(state == "issued", table.delivered_at.is_(None))).label("reserved"),
        _count(and_(table.opened_at.is_not(None), state != "released")).label("opened"),
        _count(state == "redeemed").label("redeemed"),
        _count(is_over).label("expired"),
        _count(state == "released").label("released"),
        func.sum(case((state == "redeemed", table.discount_fen), else_=0)).label("cost_fen"),
    ).group_by(table.batch_key)
    # An order that used two coupons of a batch brought its money once.
    used = (
        select(table.batch_key, table.order_id)
        .where(state == "redeemed", table.order_id.is_not(None))
        .distinct()
        .subquery()
    )
    earned = (
        select(
            used.c.batch_key,
            func.count().label("orders"),
            func.sum(orders.c.paid_fen - orders.c.refunded_fen).label("revenue_fen"),
        )
        .join(orders, orders.c.id == used.c.order_id)
        .group_by(used.c.batch_key)
    )
    if batch_key is not None:
        query, earned = query.where(table.batch_key == batch_key), earned.where(used.c.batch_key == batch_key)
    money = {row.batch_key: row for row in conn.execute(earned)}
    found = {}
    for row in conn.execute(query):
        brought = money.get(row.batch_key)
        found[row.batch_key] = Figures(
            issued=int(row.issued or 0),
            reserved=int(row.reserved or 0),
            opened=int(row.opened or 0),
            redeemed=int(row.redeemed or 0),
            expired=int(row.expired or 0),
            released=int(row.released or 0),
            cost_fen=int(row.cost_fen or 0),
            revenue_fen=int(brought.revenue_fen or 0) if brought else 0,
            orders=int(brought.orders) if brought else 0,
        )
    return found


def _count(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def list_batches(conn: Connection) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(coupon_batch).order_by(coupon_batch.c.created_at.desc(), coupon_batch.c.key)))


def find_batch(conn: Connection, key: str) -> Row[Any] | None:
    return conn.execute(select(coupon_batch).where(coupon_batch.c.key == key)).one_or_none()


def count_pool(conn: Connection, keys: list[str]) -> dict[str, tuple[int, int]]:
    """(free, all) codes of each pool."""
    rows = conn.execute(
        select(coupon_code.c.batch_key, _count(coupon_code.c.issue_id.is_(None)).label("free"), func.count())
        .where(among(conn, coupon_code.c.batch_key, keys))
        .group_by(coupon_code.c.batch_key)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}
