"""What reports of one's own are made of: adds, orders, members' tasks; each counted by one dimension in one statement."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, column, func, literal, select, values
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import order_line, orders
from scrm.commerce.words import CHANNELS as SHOPS
from scrm.contact_ways.models import contact_way
from scrm.db.bulk import among
from scrm.db.tables import to_millis
from scrm.profiles.models import department, member, member_department
from scrm.reports import adds, tasks
from scrm.reports.buying import PURCHASE
from scrm.reports.cohort import Counts, counts_of
from scrm.reports.grids import Look
from scrm.reports.measures import coming
from scrm.reports.measures.kinds import Counted, Measure, Unit, Value, share
from scrm.reports.period import bounds, start_of
from scrm.reports.tasks import Work
from scrm.reports.trade import Trade
from scrm.segments.audience import audience_of
from scrm.sop.models import playbook

Count = Callable[[Connection, Look, str, str], dict[Any, Any]]


@dataclass(frozen=True, slots=True)
class Fact:
    """`count` answers by the values of a dimension (days for a time), of everybody or of a segment."""

    title: str
    measures: Sequence[Measure]
    count: Count
    nothing: Callable[[], Any]


def _days(look: Look, by: str) -> Any:
    """The times as ranges of milliseconds, numbered; each begins on its first day in the period."""
    found: dict[date, list[int]] = {}
    for day, start, stop in bounds(look.asked.period, look.zone):
        known = found.setdefault(start_of(day, by), [to_millis(start), 0])
        known[1] = to_millis(stop)
    rows = [(day.toordinal(), *ends) for day, ends in found.items()]
    columns = (column("number", BigInteger), column("start", BigInteger), column("stop", BigInteger))
    return values(*columns, name="times_given").data(rows).cte("times")


def _within(at: Any, times: Any) -> ColumnElement[bool]:
    moment = coerce(at, BigInteger)
    return and_(moment >= times.c.start, moment < times.c.stop)


def _is_in(conn: Connection, look: Look, segment: str, person_id: Any) -> list[ColumnElement[bool]]:
    """A segment that is gone or unknown is nobody."""
    return [person_id.in_(audience_of(conn, {"segment": segment}, look.now).ids())] if segment else []


def _keyed(rows: Iterable[Any], by: str, made: Callable[[Mapping[str, Any]], Any]) -> dict[Any, Any]:
    is_time = by in ("day", "week", "month")
    return {date.fromordinal(int(row.line)) if is_time else row.line: made(row._mapping) for row in rows}


# Adds -----------------------------------------------------------------------------------------------------------------


def _count_adds(conn: Connection, look: Look, by: str, segment: str) -> dict[Any, Any]:
    rows = adds.rows_in(conn, look.asked.period, look.whose)
    source: Any = rows
    key: Any
    if by in ("day", "week", "month"):
        times = _days(look, by)
        source, key = rows.join(times, _within(rows.c.added_at, times)), times.c.number
    elif by == "kind":
        source = rows.outerjoin(contact_way, contact_way.c.state == rows.c.state)
        key = func.coalesce(contact_way.c.kind, "")
    elif by == "department":
        # Somebody of two departments counts in both.
        mine = func.lower(member_department.c.userid) == func.lower(rows.c.userid)
        source, key = rows.outerjoin(member_department, mine), func.coalesce(member_department.c.department_id, 0)
    else:
        key = func.lower(rows.c.userid) if by == "member" else rows.c.state
    chosen = select(rows, key.label("line")).select_from(source).where(*_is_in(conn, look, segment, rows.c.person_id))
    given = chosen.subquery("given")
    first = (given.c.added_at, given.c.event_id)
    place = func.row_number().over(partition_by=(given.c.line, given.c.person_id), order_by=first)
    ranked = select(given, place.label("place")).subquery("rows_of")
    sums = adds.sums_of(ranked, ranked.c.place == 1, look.asked.period, look.now)
    query = select(ranked.c.line, *(each.label(name) for name, each in sums.items())).group_by(ranked.c.line)
    return _keyed(conn.execute(query), by, lambda row: Counted(counts_of(row), Trade()))


def _people(each: Counted) -> Value:
    return each.came.people


def _ended(each: Counted) -> Value:
    return each.came.ended


def _bought(each: Counted) -> Value:
    return each.came.bought


_ADDED_PEOPLE = Measure("people", "新增人数", "这段时间添加员工的客户数，每一行里去重", Unit.COUNT, _people)
_ENDED = Measure("ended", "新增后流失", "这段时间新增、期末之前又互删的次数", Unit.COUNT, _ended, is_good_up=False)
_BOUGHT = Measure("bought", "首单人数", "新增客户里添加之后、期末之前第一次付款的人数", Unit.COUNT, _bought)
ADDS = Fact(
    "新增客户",
    (
        coming.ADDED,
        _ADDED_PEOPLE,
        _ENDED,
        coming.ENDED_RATE,
        coming.KEPT_RATE,
        coming.TALK_RATE,
        _BOUGHT,
        coming.FIRST_RATE,
        coming.BROUGHT,
        coming.BROUGHT_30,
        coming.BROUGHT_90,
    ),
    _count_adds,
    lambda: Counted(Counts(), Trade()),
)

# Orders ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sold:
    orders: int = 0
    buyers: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    units: int = 0


def _count_orders(conn: Connection, look: Look, by: str, segment: str) -> dict[Any, Any]:
    period, at = look.asked.period, orders.c.paid_at
    chosen = [at >= period.since, at < period.until, PURCHASE, look.whose.has_person(orders.c.person_id)]
    chosen += _is_in(conn, look, segment, orders.c.person_id)
    buyers = func.count(orders.c.person_id.distinct()).label("buyers")
    if by == "product":
        return _keyed(conn.execute(_by_product(chosen, buyers)), by, _sold)
    source: Any = orders
    key: Any = orders.c.channel
    if by != "shop":
        times = _days(look, by)
        source, key = orders.join(times, _within(at, times)), times.c.number
    query = select(
        key.label("line"),
        func.count().label("orders"),
        buyers,
        func.sum(orders.c.paid_fen).label("paid_fen"),
        func.sum(orders.c.refunded_fen).label("refunded_fen"),
        literal(0).label("units"),
    )
    return _keyed(conn.execute(query.select_from(source).where(*chosen).group_by(key)), by, _sold)


def _by_product(chosen: Sequence[ColumnElement[bool]], buyers: Any) -> Any:
    """By the title of the order's lines; gifts are none."""
    title = func.coalesce(order_line.c.title, "").label("line")
    return (
        select(
            title,
            func.count(orders.c.id.distinct()).label("orders"),
            buyers,
            func.sum(order_line.c.paid_fen).label("paid_fen"),
            func.sum(order_line.c.refunded_fen).label("refunded_fen"),
            func.sum(case((order_line.c.is_gift, 0), else_=order_line.c.qty)).label("units"),
        )
        .join(order_line, order_line.c.order_id == orders.c.id)
        .where(*chosen, ~order_line.c.is_gift)
        .group_by(title)
    )


def _sold(row: Mapping[str, Any]) -> Sold:
    return Sold(*(int(row[name] or 0) for name in ("orders", "buyers", "paid_fen", "refunded_fen", "units")))


def _orders(each: Sold) -> Value:
    return each.orders


def _buyers(each: Sold) -> Value:
    return each.buyers


def _paid(each: Sold) -> Value:
    return each.paid_fen


def _refunded(each: Sold) -> Value:
    return each.refunded_fen


def _net(each: Sold) -> Value:
    return each.paid_fen - each.refunded_fen


def _per_order(each: Sold) -> Value:
    return share(each.paid_fen, each.orders)


def _per_buyer(each: Sold) -> Value:
    return share(each.paid_fen, each.buyers)


def _refund_rate(each: Sold) -> Value:
    return share(each.refunded_fen, each.paid_fen)


_VALID = "测试单、零元单和没有付清的订单不算"
ORDERS = Fact(
    "订单",
    (
        Measure(
            "paid",
            "实付金额",
            f"这段时间付款的订单实付之和，退款不扣；按商品时是商品行的实付。{_VALID}",
            Unit.MONEY,
            _paid,
        ),
        Measure("orders", "付款订单", f"这段时间付款的订单数。{_VALID}", Unit.COUNT, _orders),
        Measure("buyers", "付款客户", "每一行里付过款的客户数，只算已识别的客户", Unit.COUNT, _buyers),
        Measure("refunded", "退款金额", "这段时间付款的订单里已退的金额", Unit.MONEY, _refunded, is_good_up=False),
        Measure("net", "净销售额", "实付金额 − 退款金额", Unit.MONEY, _net),
        Measure("per_order", "笔单价", "实付金额 ÷ 付款订单", Unit.MONEY, _per_order),
        Measure("per_buyer", "客单价", "实付金额 ÷ 付款客户", Unit.MONEY, _per_buyer),
        Measure(
            "refund_rate", "退款率", "退款金额 ÷ 实付金额，按付款时间算", Unit.SHARE, _refund_rate, is_good_up=False
        ),
    ),
    _count_orders,
    Sold,
)

# Tasks ----------------------------------------------------------------------------------------------------------------


def _count_tasks(conn: Connection, look: Look, by: str, segment: str) -> dict[Any, Any]:
    found: dict[Any, list[Work]] = defaultdict(list)
    where = _departments(conn) if by == "department" else {}
    for (key, userid), work in tasks.count(conn, look, look.asked.period).items():
        lines: Sequence[Any] = (key,) if by == "playbook" else (userid.lower(),)
        if by == "department":
            lines = where.get(userid.lower(), (0,))
        for each in lines if userid or by == "playbook" else ():
            found[each].append(work)
    return {each: tasks.add_up(works) for each, works in found.items()}


def _departments(conn: Connection) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for row in conn.execute(select(member_department.c.userid, member_department.c.department_id)):
        found[row.userid.lower()].append(row.department_id)
    return found


TASKS = Fact(
    "员工待办",
    (tasks.RELEASED, tasks.CONFIRM_RATE, tasks.IN_TIME_RATE, tasks.MINUTES, tasks.REACH_RATE),
    _count_tasks,
    lambda: Work(),
)

# What lines are called ------------------------------------------------------------------------------------------------


def names_of(conn: Connection, by: str, keys: Sequence[str]) -> dict[str, str]:
    """By the keys of the lines."""
    if by == "channel":
        rows = conn.execute(
            select(contact_way.c.state, contact_way.c.title).where(among(conn, contact_way.c.state, keys))
        )
        return {"": "没有经过渠道活码", **{row.state: row.title for row in rows}}
    if by == "member":
        rows = conn.execute(select(member.c.folded, member.c.name).where(among(conn, member.c.folded, keys)))
        return {row.folded: row.name for row in rows if row.name}
    if by == "department":
        rows = conn.execute(select(department.c.id, department.c.name))
        return {"0": "没有部门", **{str(row.id): row.name or f"部门 {row.id}" for row in rows}}
    if by == "playbook":
        rows = conn.execute(select(playbook.c.key, playbook.c.title).where(among(conn, playbook.c.key, keys)))
        return {row.key: row.title for row in rows}
    return {"shop": dict(SHOPS), "kind": {"": "没有类型"}, "product": {"": "没有商品名"}}.get(by, {})
