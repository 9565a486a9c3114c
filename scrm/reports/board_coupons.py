"""优惠券: what became of the coupons that were issued in the period, batch by batch."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from scrm.commerce.models import coupon_batch, coupon_issue, orders
from scrm.reports.grids import Board, Grid, Look, compare, line
from scrm.reports.measures.kinds import Measure, Unit, Value, share
from scrm.reports.period import Period
from scrm.reports.whose import Whose


@dataclass(frozen=True, slots=True)
class Coupons:
    """Of one batch, or of all; money in fen."""

    issued: int = 0
    opened: int = 0
    redeemed: int = 0
    cost_fen: int = 0
    orders: int = 0
    revenue_fen: int = 0

    def __add__(self, other: "Coupons") -> "Coupons":
        return Coupons(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


def _issued(each: Coupons) -> Value:
    return each.issued


def _opened(each: Coupons) -> Value:
    return each.opened


def _redeemed(each: Coupons) -> Value:
    return each.redeemed


def _redeem_rate(each: Coupons) -> Value:
    return share(each.redeemed, each.issued)


def _revenue(each: Coupons) -> Value:
    return each.revenue_fen


def _cost(each: Coupons) -> Value:
    return each.cost_fen


def _times(each: Coupons) -> Value:
    return share(each.revenue_fen, each.cost_fen)


COLUMNS = (
    Measure("issued", "已发放", "这段时间发放的券，没有送达而收回的不算", Unit.COUNT, _issued, people="coupon_issued"),
    Measure("opened", "已领取", "其中客户打开过领券页的张数", Unit.COUNT, _opened, people="coupon_opened"),
    Measure(
        "redeemed", "已核销", "其中到现在已经用掉的张数，不论哪天用的", Unit.COUNT, _redeemed, people="coupon_redeemed"
    ),
    Measure("redeem_rate", "核销率", "已核销 ÷ 已发放；还没到期的券仍可能核销", Unit.SHARE, _redeem_rate),
    Measure(
        "revenue",
        "用券成交",
        "用了这些券的订单的实付 − 退款；一单用了几张同批券只算一次",
        Unit.MONEY,
        _revenue,
        people="coupon_redeemed",
    ),
    Measure("cost", "让利", "这些券抵扣的金额", Unit.MONEY, _cost, is_good_up=False),
    Measure("times", "投入产出", "用券成交 ÷ 让利；不扣商品成本", Unit.TIMES, _times),
)


def load(conn: Connection, look: Look) -> Board:
    found = _count(conn, look.asked.period, look.whose)
    before = _count(conn, look.asked.before, look.whose) if look.asked.before else None
    titles = {row.key: row.title for row in conn.execute(select(coupon_batch.c.key, coupon_batch.c.title))}
    lines = [
        line(key, titles.get(key, key), COLUMNS, each, note=key, url=f"/console/coupons/{key}", narrow={"key": key})
        for key, each in found.items()
    ]
    grid = Grid(
        "coupons",
        "每批优惠券",
        "优惠券",
        COLUMNS,
        lines,
        ("这段时间没有发过券", "在优惠券里新建一批，由剧本或员工发出去，这里比较每批券的核销和成交。"),
        has_bars=True,
    )
    before_all = sum(before.values(), Coupons()) if before is not None else None
    return Board(compare(COLUMNS, sum(found.values(), Coupons()), before_all), [grid])


def _issued_in(period: Period, whose: Whose) -> ColumnElement[bool]:
    table = coupon_issue.c
    at = table.issued_at
    return and_(at >= period.since, at < period.until, table.state != "released", whose.has_person(table.person_id))


def _count(conn: Connection, period: Period, whose: Whose) -> dict[str, Coupons]:
    table, is_used = coupon_issue.c, coupon_issue.c.state == "redeemed"
    query = select(
        table.batch_key,
        func.count().label("issued"),
        func.count(table.opened_at).label("opened"),
        func.count(case((is_used, 1))).label("redeemed"),
        func.sum(case((is_used, table.discount_fen), else_=0)).label("cost_fen"),
    ).where(_issued_in(period, whose))
    used = select(table.batch_key, table.order_id).where(
        _issued_in(period, whose), is_used, table.order_id.is_not(None)
    )
    each = used.distinct().subquery("used")
    earned = select(
        each.c.batch_key,
        func.count().label("orders"),
        func.sum(orders.c.paid_fen - orders.c.refunded_fen).label("revenue_fen"),
    ).join(orders, orders.c.id == each.c.order_id)
    rows: dict[str, dict[str, Any]] = {}
    for row in conn.execute(query.group_by(table.batch_key)):
        rows[row.batch_key] = dict(row._mapping)
    for row in conn.execute(earned.group_by(each.c.batch_key)):
        rows[row.batch_key] |= row._mapping
    return {
        key: Coupons(**{name: int(value or 0) for name, value in row.items() if name != "batch_key"})
        for key, row in rows.items()
    }


def people(what: str, period: Period, whose: Whose, batch_key: str | None) -> Select[Any]:
    """Numbers of those who were given a coupon, opened it, or used it."""
    table = coupon_issue.c
    query = select(table.person_id).where(_issued_in(period, whose))
    if batch_key is not None:
        query = query.where(table.batch_key == batch_key)
    if what == "coupon_opened":
        return query.where(table.opened_at.is_not(None))
    return query.where(table.state == "redeemed") if what == "coupon_redeemed" else query
