"""What reports of one's own are made of: adds, orders, members' tasks; each counted by one dimension in one statement."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import order_line, orders
from scrm.commerce.words import CHANNELS as SHOPS
from scrm.contact_ways.models import contact_way
from scrm.db.bulk import among
from scrm.db.tables import to_millis
from scrm.errors import NotFound
from scrm.profiles.models import department, member, member_department
from scrm.reports import adds, tasks
from scrm.reports.buying import PURCHASE
from scrm.reports.cohort import Counts, counts_of
from scrm.reports.grids import Look
from scrm.reports.measures import coming
from scrm.reports.measures.kinds import Counted, Measure, Unit, Value, share
from scrm.reports.period import bounds, start_of, tree_of
from scrm.reports.tasks import Work
from scrm.reports.trade import Trade
from scrm.segments.audience import audience_of
from scrm.sop.models import playbook

TIMES = ("day", "week", "month")
Tree = Mapping[str, Any] | None
# The connection, the look, the dimension, the condition, the keys of the measures that are shown.
Count = Callable[[Connection, Look, str, Tree, Collection[str]], dict[Any, Any]]
# The connection, the look, the dimension, one value of it, a measure's key, the condition.
People = Callable[[Connection, Look, str, str, str, Tree], Select[Any]]


@dataclass(frozen=True, slots=True)
class Fact:
    """`count` answers by the values of a dimension (days for a time), of everybody or of whom a condition admits.

    What takes long and none of the measures needs may stay 0.

    `people` are the numbers of the customers behind one cell; a fact without it is not about customers.
    """

    title: str
    measures: Sequence[Measure]
    count: Count
    nothing: Callable[[], Any]
    people: People | None = None


def _time_of(look: Look, by: str, at: Any) -> ColumnElement[int]:
    """The number of the day on which the moment's day, week or month begins in the period.

    A tree of comparisons: a join with the ranges would compare each row with hundreds of them.
    """
    starts: dict[date, int] = {}
    for day, start, _ in bounds(look.asked.period, look.zone):
        starts.setdefault(start_of(day, by), to_millis(start))
    tree = tree_of(f"{at.table.name}.{at.name}", [(start, day.toordinal()) for day, start in starts.items()])
    # A bare number, where there is but one time, would group by the column of that place.
    return literal_column(f"({tree} + 0)", BigInteger())


def _is_in(conn: Connection, look: Look, tree: Tree, person_id: Any) -> list[ColumnElement[bool]]:
    """A condition that is wrong, and a segment that is gone, admit nobody."""
    return [person_id.in_(audience_of(conn, tree, look.now).ids())] if tree is not None else []


def _keyed(rows: Iterable[Any], by: str, made: Callable[[Mapping[str, Any]], Any]) -> dict[Any, Any]:
    return {date.fromordinal(int(row.line)) if by in TIMES else row.line: made(row._mapping) for row in rows}


def _key_of(by: str, key: str) -> Any:
    """What stands in the line's column, from what its address says. Raises NotFound."""
    try:
        if by in TIMES:
            return date.fromisoformat(key).toordinal()
        return int(key) if by == "department" else key
    except ValueError:
        raise NotFound("没有这个数字的名单，请从报表页面重新点进来") from None


# Adds -----------------------------------------------------------------------------------------------------------------


def _lined_adds(conn: Connection, look: Look, by: str, tree: Tree) -> Any:
    """Each add with its line and the customer's `place` in it: 1 for the first."""
    rows = adds.rows_in(conn, look.asked.period, look.whose)
    source: Any = rows
    key: Any
    if by in TIMES:
        key = _time_of(look, by, rows.c.added_at)
    elif by == "kind":
        source = rows.outerjoin(contact_way, contact_way.c.state == rows.c.state)
        key = func.coalesce(contact_way.c.kind, "")
    elif by == "department":
        # Somebody of two departments counts in both.
        mine = func.lower(member_department.c.userid) == func.lower(rows.c.userid)
        source, key = rows.outerjoin(member_department, mine), func.coalesce(member_department.c.department_id, 0)
    else:
        key = func.lower(rows.c.userid) if by == "member" else rows.c.state
    chosen = select(rows, key.label("line")).select_from(source).where(*_is_in(conn, look, tree, rows.c.person_id))
    given = chosen.subquery("given")
    first = (given.c.added_at, given.c.event_id)
    place = func.row_number().over(partition_by=(given.c.line, given.c.person_id), order_by=first)
    return select(given, place.label("place")).subquery("rows_of")


def _count_adds(conn: Connection, look: Look, by: str, tree: Tree, wanted: Collection[str]) -> dict[Any, Any]:
    ranked = _lined_adds(conn, look, by, tree)
    sums = adds.sums_of(ranked, ranked.c.place == 1, look.asked.period, look.now)
    if not _MONEY.intersection(wanted):
        sums = {name: each for name, each in sums.items() if not name.startswith("net_")}
    query = select(ranked.c.line, *(each.label(name) for name, each in sums.items())).group_by(ranked.c.line)
    return _keyed(conn.execute(query), by, lambda row: Counted(counts_of(row), Trade()))


_MONEY = frozenset(each.key for each in (coming.BROUGHT, coming.BROUGHT_30, coming.BROUGHT_90))


def _who_came(conn: Connection, look: Look, by: str, key: str, measure: str, tree: Tree) -> Select[Any]:
    rows = _lined_adds(conn, look, by, tree)
    query = select(rows.c.person_id).where(rows.c.line == _key_of(by, key))
    reached = _REACHED.get(measure)
    return query if reached is None else query.where(reached(rows, look))


def _lasted(rows: Any, look: Look) -> ColumnElement[bool]:
    added, lost = coerce(rows.c.added_at, BigInteger), coerce(rows.c.lost_at, BigInteger)
    least = adds.KEPT_DAYS * 86_400_000
    return and_(added <= to_millis(look.now) - least, or_(lost.is_(None), lost >= added + least))


def _by_then(name: str) -> Callable[[Any, Look], ColumnElement[bool]]:
    return lambda rows, look: rows.c[name] < look.asked.period.until


def _first_by_then(name: str) -> Callable[[Any, Look], ColumnElement[bool]]:
    return lambda rows, look: and_(rows.c.place == 1, rows.c[name] < look.asked.period.until)


def _brought(name: str) -> Callable[[Any, Look], ColumnElement[bool]]:
    return lambda rows, look: and_(rows.c.place == 1, rows.c[name] > 0)


# Whom of those who came a measure is about; of a share, those above its line. What is not here is about all of them.
_REACHED: Mapping[str, Callable[[Any, Look], ColumnElement[bool]]] = {
    "ended": _by_then("lost_at"),
    coming.ENDED_RATE.key: _by_then("lost_at"),
    coming.KEPT_RATE.key: _lasted,
    coming.TALK_RATE.key: _first_by_then("talked_at"),
    "bought": _first_by_then("bought_at"),
    coming.FIRST_RATE.key: _first_by_then("bought_at"),
    coming.BROUGHT.key: _brought("net_fen"),
    coming.BROUGHT_30.key: _brought("net_30_fen"),
    coming.BROUGHT_90.key: _brought("net_90_fen"),
}


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
    _who_came,
)

# Orders ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sold:
    orders: int = 0
    buyers: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    units: int = 0


def _chosen_orders(conn: Connection, look: Look, tree: Tree) -> list[ColumnElement[bool]]:
    period, at = look.asked.period, orders.c.paid_at
    chosen = [at >= period.since, at < period.until, PURCHASE, look.whose.has_person(orders.c.person_id)]
    return chosen + _is_in(conn, look, tree, orders.c.person_id)


def _line_of_orders(look: Look, by: str) -> Any:
    """The column that tells the line."""
    if by in TIMES:
        return _time_of(look, by, orders.c.paid_at)
    return orders.c.province if by == "province" else orders.c.channel


def _who_bought(conn: Connection, look: Look, by: str, key: str, measure: str, tree: Tree) -> Select[Any]:
    is_known = orders.c.person_id.is_not(None)
    chosen = [*_chosen_orders(conn, look, tree), is_known]
    if by == "product":
        source, column_of, refunded = _lines_of_orders(), _PRODUCT, order_line.c.refunded_fen
        chosen.append(~order_line.c.is_gift)
    else:
        source, column_of, refunded = orders, _line_of_orders(look, by), orders.c.refunded_fen
    if measure in ("refunded", "refund_rate"):
        chosen.append(refunded > 0)
    return select(orders.c.person_id).select_from(source).where(*chosen, column_of == _key_of(by, key))


def _count_orders(conn: Connection, look: Look, by: str, tree: Tree, wanted: Collection[str]) -> dict[Any, Any]:
    chosen = _chosen_orders(conn, look, tree)
    # To tell buyers apart takes longer than all sums.
    has_buyers = not {"buyers", "per_buyer"}.isdisjoint(wanted)
    buyers = (func.count(orders.c.person_id.distinct()) if has_buyers else literal(0)).label("buyers")
    if by == "product":
        return _keyed(conn.execute(_by_product(chosen, buyers)), by, _sold)
    key = _line_of_orders(look, by)
    query = select(
        key.label("line"),
        func.count().label("orders"),
        buyers,
        func.sum(orders.c.paid_fen).label("paid_fen"),
        func.sum(orders.c.refunded_fen).label("refunded_fen"),
        literal(0).label("units"),
    )
    return _keyed(conn.execute(query.select_from(orders).where(*chosen).group_by(key)), by, _sold)


# One object: PostgreSQL would take the same words said twice for two things.
_PRODUCT = func.coalesce(order_line.c.title, "")


def _lines_of_orders() -> Any:
    return orders.join(order_line, order_line.c.order_id == orders.c.id)


def _by_product(chosen: Sequence[ColumnElement[bool]], buyers: Any) -> Any:
    """By the title of the order's lines; gifts are none."""
    return (
        select(
            _PRODUCT.label("line"),
            func.count(orders.c.id.distinct()).label("orders"),
            buyers,
            func.sum(order_line.c.paid_fen).label("paid_fen"),
            func.sum(order_line.c.refunded_fen).label("refunded_fen"),
            func.sum(case((order_line.c.is_gift, 0), else_=order_line.c.qty)).label("units"),
        )
        .select_from(_lines_of_orders())
        .where(*chosen, ~order_line.c.is_gift)
        .group_by(_PRODUCT)
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
    _who_bought,
)

# Tasks ----------------------------------------------------------------------------------------------------------------


def _count_tasks(conn: Connection, look: Look, by: str, tree: Tree, wanted: Collection[str]) -> dict[Any, Any]:
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
    return {
        "shop": dict(SHOPS),
        "kind": {"": "没有类型"},
        "product": {"": "没有商品名"},
        "province": {"": "不知道省份"},
    }.get(by, {})
