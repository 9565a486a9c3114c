"""复购与 LTV: buyers by the month of their first order, how many came back in which month, and what they brought.

Days are the shop's: what was bought twice on one day is one purchase. A cohort's number of N days is shown when its
youngest buyer has had N days (docs/reports.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, and_, case, column, func, literal, select, values
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.db.tables import to_millis
from scrm.profiles.models import person_stat
from scrm.reports.buying import KEPT_FEN, PURCHASE
from scrm.reports.grids import Board, Grid, Look, Pick, compare, line
from scrm.reports.measures.kinds import Measure, Unit, Value, share
from scrm.reports.period import Period
from scrm.reports.trade import first_buyers
from scrm.reports.whose import Whose

DAYS = (30, 60, 90, 180, 365)
MONTHS = {"6": "近 6 个月", "12": "近 12 个月", "24": "近 24 个月"}
USUAL = "12"
MOST_SHOWN = 12
_DAY = 86_400_000


@dataclass(slots=True)
class Cohort:
    """The buyers whose first order was paid in a month. By days: who came back within, how many have had them, money."""

    month: date
    buyers: int = 0
    returned: dict[int, int] = field(default_factory=dict)
    ripe: dict[int, int] = field(default_factory=dict)
    ripe_returned: dict[int, int] = field(default_factory=dict)
    ripe_fen: dict[int, int] = field(default_factory=dict)
    again: int = 0
    net_fen: int = 0
    # Buyers of each month after the first.
    active: dict[int, int] = field(default_factory=dict)
    # How many months after it are over.
    months_over: int = 0


def load(conn: Connection, look: Look) -> Board:
    span = look.chosen.get("months", "")
    span = span if span in MONTHS else USUAL
    found = count(conn, look.whose, look.now, look.zone, months_of(look.now, look.zone, int(span)))
    kept = [each for each in found if each.buyers]
    none = ("这段时间没有首单客户", "接入店铺或导入订单后，这里按首单月份比较客户多久回来、带来多少。")
    shown = sorted(kept, key=lambda each: each.month, reverse=True)
    back, money = _columns(), _money_columns()
    months = _month_columns(max((each.months_over for each in kept), default=0))
    today = look.now.astimezone(look.zone).date()

    def grid(key: str, title: str, columns: Sequence[Measure], hint: str, *, is_heat: bool = True) -> Grid:
        lines = [
            line(
                f"{each.month:%Y-%m}",
                f"{each.month:%Y-%m}",
                columns,
                each,
                narrow=_narrow(each.month, each.month, today),
            )
            for each in shown
        ]
        return Grid(
            key, title, "首单月份", columns, lines, none, hint, is_heat=is_heat, is_relative=True, is_sortable=False
        )

    grids = [
        grid("repeat", "多久回来第二次", back, "同一天的多笔算一次。还没有满天数的月份显示“—”。"),
        grid(
            "retention",
            "之后每个月还有多少人购买",
            months,
            "首单之后第 1 至 12 个自然月里购买过的客户占首单客户的比例。",
        ),
        grid("ltv", "每位客户带来多少（LTV）", money, "实付 − 退款，含首单，不扣商品成本。", is_heat=False),
    ]
    return Board(
        compare(_figures(int(span)), total(found), None),
        grids,
        [Pick("months", "首单月份", list(MONTHS.items()), span)],
        has_period=False,
        hint="按客户第一次付款的月份分组，员工筛选照常有效。",
        narrow=_narrow(found[0].month, found[-1].month, today),
    )


def _narrow(first: date, last: date, today: date) -> dict[str, str]:
    """From the one month to the other, as an address says it."""
    return {"from": str(first), "to": str(min(today, _later(last, 1) - timedelta(days=1)))}


def _later(month: date, number: int) -> date:
    ordinal = month.year * 12 + month.month - 1 + number
    return date(ordinal // 12, ordinal % 12 + 1, 1)


def months_of(now: datetime, zone: ZoneInfo, number: int) -> list[date]:
    """The first days of the last months, this one included, the oldest first, and of the next one."""
    today = now.astimezone(zone).date()
    return [_later(today, each) for each in range(1 - number, 2)]


def count(conn: Connection, whose: Whose, now: datetime, zone: ZoneInfo, months: Sequence[date]) -> list[Cohort]:
    """A cohort for each month but the last, which is where the newest ends."""
    starts = [to_millis(datetime.combine(month, time(), zone).astimezone(UTC)) for month in months]
    cohorts = [Cohort(month) for month in months[:-1]]
    today = _day_number(now, zone)
    for row in conn.execute(_by_cohort(starts, whose, zone, today, to_millis(now))):
        cohort = cohorts[row.cohort]
        cohort.buyers, cohort.again, cohort.net_fen = int(row.buyers), int(row.again), int(row.net_fen or 0)
        for days in DAYS:
            cohort.returned[days] = int(row._mapping[f"back_{days}"])
            cohort.ripe[days] = int(row._mapping[f"ripe_{days}"])
            cohort.ripe_returned[days] = int(row._mapping[f"ripe_back_{days}"])
            cohort.ripe_fen[days] = int(row._mapping[f"ripe_fen_{days}"] or 0)
    for row in conn.execute(_by_month(starts, whose, to_millis(now))):
        if row.month > row.cohort:
            cohorts[row.cohort].active[row.month - row.cohort] = int(row.buyers)
    for number, cohort in enumerate(cohorts):
        cohort.months_over = min(MOST_SHOWN, len(cohorts) - 1 - number)
    return cohorts


def total(cohorts: Sequence[Cohort]) -> Cohort:
    """All of them as one."""
    whole = Cohort(cohorts[0].month)
    for each in cohorts:
        whole.buyers += each.buyers
        whole.again += each.again
        whole.net_fen += each.net_fen
        for name in ("returned", "ripe", "ripe_returned", "ripe_fen"):
            for days, number in getattr(each, name).items():
                getattr(whole, name)[days] = getattr(whole, name).get(days, 0) + number
    return whole


def _day_number(moment: datetime, zone: ZoneInfo) -> int:
    return moment.astimezone(zone).date().toordinal() - date(1970, 1, 1).toordinal()


def _months(starts: Sequence[int], name: str) -> Any:
    numbered = [(number, *ends) for number, ends in enumerate(pairwise(starts))]
    columns = (column("number", BigInteger), column("start", BigInteger), column("stop", BigInteger))
    return values(*columns, name=f"{name}_given").data(numbered).cte(name)


def _bought(months: Any, whose: Whose, until: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    first = coerce(person_stat.c.first_paid_at, BigInteger)
    began = and_(first >= months.c.start, first < months.c.stop, whose.has_person(person_stat.c.person_id))
    paid = and_(orders.c.person_id == person_stat.c.person_id, PURCHASE, coerce(orders.c.paid_at, BigInteger) < until)
    return began, paid


def _by_cohort(starts: Sequence[int], whose: Whose, zone: ZoneInfo, today: int, until: int) -> Any:
    months = _months(starts, "cohort")
    began, paid = _bought(months, whose, until)
    # A zone that moves its clock is taken as it is in the middle of the time looked at.
    middle = datetime.fromtimestamp((starts[0] + starts[-1]) / 2000, UTC).astimezone(zone)
    shift = (middle.utcoffset() or timedelta()) // timedelta(milliseconds=1)

    def day(moment: Any) -> Any:
        return (coerce(moment, BigInteger) + shift) // _DAY

    first_day = day(person_stat.c.first_paid_at)
    gap = day(orders.c.paid_at) - first_day
    person = (
        select(
            months.c.number.label("cohort"),
            first_day.label("first_day"),
            func.min(case((gap > 0, gap))).label("gap"),
            func.count().label("orders"),
            func.sum(KEPT_FEN).label("net_fen"),
            *(func.sum(case((gap <= days, KEPT_FEN), else_=0)).label(f"fen_{days}") for days in DAYS),
        )
        .select_from(months)
        .join(person_stat, began)
        .join(orders, paid)
        .group_by(months.c.number, person_stat.c.person_id, first_day)
        .subquery("buyer")
    )

    def number(*where: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(case((and_(*where), 1)))

    columns = []
    for days in DAYS:
        is_ripe = person.c.first_day + days <= literal(today, BigInteger)
        columns += [
            number(person.c.gap <= days).label(f"back_{days}"),
            number(is_ripe).label(f"ripe_{days}"),
            number(is_ripe, person.c.gap <= days).label(f"ripe_back_{days}"),
            func.sum(case((is_ripe, person.c[f"fen_{days}"]), else_=0)).label(f"ripe_fen_{days}"),
        ]
    return select(
        person.c.cohort,
        func.count().label("buyers"),
        number(person.c.gap > 0).label("again"),
        func.sum(person.c.net_fen).label("net_fen"),
        *columns,
    ).group_by(person.c.cohort)


def _by_month(starts: Sequence[int], whose: Whose, until: int) -> Any:
    cohort, month = _months(starts, "cohort"), _months(starts, "later")
    began, paid = _bought(cohort, whose, until)
    at = coerce(orders.c.paid_at, BigInteger)
    in_month = and_(at >= month.c.start, at < month.c.stop)
    return (
        select(
            cohort.c.number.label("cohort"),
            month.c.number.label("month"),
            func.count(person_stat.c.person_id.distinct()).label("buyers"),
        )
        .select_from(cohort)
        .join(person_stat, began)
        .join(orders, paid)
        .join(month, in_month)
        .group_by(cohort.c.number, month.c.number)
    )


# The people behind a number -------------------------------------------------------------------------------------------

PEOPLE = {
    "back": "又来购买的首单客户",
    **{f"back_{days}": f"{days} 天内又来购买的首单客户" for days in DAYS},
    **{f"month_{month}": f"首单之后第 {month} 个月购买的客户" for month in range(1, MOST_SHOWN + 1)},
}


def people(what: str, period: Period, whose: Whose) -> Select[Any]:
    """Of the first buyers of a period those who bought on another day, or in a month after it."""
    shift = to_millis(datetime.combine(period.first, time(), UTC)) - to_millis(period.since)
    bought = coerce(orders.c.paid_at, BigInteger) + shift
    kind, _, number = what.partition("_")
    if kind == "month":
        start, stop = (_later(period.first, int(number) + each) for each in (0, 1))
        later = and_(bought >= _midnight(start), bought < _midnight(stop))
    else:
        first_day = (coerce(person_stat.c.first_paid_at, BigInteger) + shift) // _DAY
        gap = bought // _DAY - first_day
        later = and_(gap > 0, gap <= int(number)) if number else gap > 0
    return (
        select(person_stat.c.person_id)
        .join(orders, orders.c.person_id == person_stat.c.person_id)
        .where(person_stat.c.person_id.in_(first_buyers(period, whose)), PURCHASE, later)
    )


def _midnight(day: date) -> int:
    return to_millis(datetime.combine(day, time(), UTC))


# Measures -------------------------------------------------------------------------------------------------------------


def _buyers(each: Cohort) -> Value:
    return each.buyers


def _repeat(days: int) -> Any:
    return lambda each: share(each.returned.get(days, 0), each.buyers) if _is_ripe(each, days) else None


def _is_ripe(each: Cohort, days: int) -> bool:
    return each.buyers > 0 and each.ripe.get(days, 0) == each.buyers


def _ripe_repeat(days: int) -> Any:
    return lambda each: share(each.ripe_returned.get(days, 0), each.ripe.get(days, 0))


def _ltv(days: int) -> Any:
    return lambda each: each.ripe_fen[days] / each.buyers if _is_ripe(each, days) else None


def _ripe_ltv(days: int) -> Any:
    return lambda each: share(each.ripe_fen.get(days, 0), each.ripe.get(days, 0))


def _retention(month: int) -> Any:
    return lambda each: share(each.active.get(month, 0), each.buyers) if month <= each.months_over else None


def _again_rate(each: Cohort) -> Value:
    return share(each.again, each.buyers)


def _whole(each: Cohort) -> Value:
    return share(each.net_fen, each.buyers)


_BUYERS = Measure(
    "buyers",
    "首单客户",
    "这个月第一次付款的客户数。测试单、零元单和没有付清的订单不算",
    Unit.COUNT,
    _buyers,
    people="first_buyers",
)


def _columns() -> list[Measure]:
    formula = "首单之后 {} 天内在另一天再次付款的客户 ÷ 首单客户；整个月的客户都满 {} 天才显示"
    rates = [
        Measure(
            f"repeat_{days}",
            f"{days} 天复购率",
            formula.format(days, days),
            Unit.SHARE,
            _repeat(days),
            people=f"back_{days}",
        )
        for days in DAYS
    ]
    formula = "首单之后到现在在另一天再次付款的客户 ÷ 首单客户"
    ever = Measure("again", "至今复购率", formula, Unit.SHARE, _again_rate, people="back")
    return [_BUYERS, *rates, ever]


def _month_columns(number: int) -> list[Measure]:
    formula = "首单之后第 {} 个自然月里付过款的客户 ÷ 首单客户；这个月还没过完的按到现在算"
    return [_BUYERS] + [
        Measure(
            f"month_{month}",
            f"第 {month} 月",
            formula.format(month),
            Unit.SHARE,
            _retention(month),
            people=f"month_{month}",
        )
        for month in range(1, number + 1)
    ]


def _money_columns() -> list[Measure]:
    formula = "首单起 {} 天内的实付 − 退款之和 ÷ 首单客户；整个月的客户都满 {} 天才显示"
    sums = [Measure(f"ltv_{days}", f"{days} 天", formula.format(days, days), Unit.MONEY, _ltv(days)) for days in DAYS]
    return [_BUYERS, *sums, Measure("ltv", "至今", "首单到现在的实付 − 退款之和 ÷ 首单客户", Unit.MONEY, _whole)]


def _figures(months: int) -> list[Measure]:
    ripe = "，只算首单满 {} 天的客户"
    # A list of people reaches a year; those of two years are found by the month, in the tables below.
    people = "first_buyers" if months <= 12 else ""
    return [
        Measure("buyers", "首单客户", "这些月份第一次付款的客户数", Unit.COUNT, _buyers, people=people),
        *(
            Measure(
                f"repeat_{days}",
                f"{days} 天复购率",
                f"首单之后 {days} 天内在另一天再次付款的客户 ÷ 首单客户" + ripe.format(days),
                Unit.SHARE,
                _ripe_repeat(days),
            )
            for days in (30, 90)
        ),
        *(
            Measure(
                f"ltv_{days}",
                f"{days} 天 LTV",
                f"首单起 {days} 天内的实付 − 退款之和 ÷ 首单客户" + ripe.format(days),
                Unit.MONEY,
                _ripe_ltv(days),
            )
            for days in (90, 365)
        ),
    ]
