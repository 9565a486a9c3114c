"""复购与 LTV: buyers by the month of their first order, how many came back in which month, and what they brought.

Days are the shop's: what was bought twice on one day is one purchase. A cohort's number of N days is shown when its
youngest buyer has had N days (docs/reports.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Connection, Select, and_, select
from sqlalchemy import type_coerce as coerce

from scrm.commerce.models import orders
from scrm.db.tables import to_millis
from scrm.profiles.models import person_stat
from scrm.reports import buyers
from scrm.reports.buying import PURCHASE
from scrm.reports.grids import Board, Grid, Look, Pick, compare, line
from scrm.reports.measures.kinds import Measure, Unit, Value, share
from scrm.reports.models import BUYER_DAYS, BUYER_MONTHS
from scrm.reports.period import Period
from scrm.reports.trade import first_buyers
from scrm.reports.whose import Whose

DAYS = BUYER_DAYS
MONTHS = {"6": "近 6 个月", "12": "近 12 个月", "24": "近 24 个月"}
USUAL = "12"
MOST_SHOWN = BUYER_MONTHS
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
    cohorts = {month: Cohort(month) for month in months[:-1]}
    since, until = (datetime.combine(month, time(), zone).astimezone(UTC) for month in (months[0], months[-1]))
    today = now.astimezone(zone).date()
    for day, sums in buyers.count(conn, whose, now, zone, since, until):
        _add(cohorts[day.replace(day=1)], sums, (today - day).days)
    for number, cohort in enumerate(cohorts.values()):
        cohort.months_over = min(MOST_SHOWN, len(cohorts) - 1 - number)
    return list(cohorts.values())


def _add(cohort: Cohort, sums: Mapping[str, int], age: int) -> None:
    """Those whose first purchase was so many days ago."""
    cohort.buyers += sums["buyers"]
    cohort.again += sums["again"]
    cohort.net_fen += sums["net_fen"]
    for days in DAYS:
        _put(cohort.returned, days, sums[f"back_{days}"])
        is_ripe = days <= age
        _put(cohort.ripe, days, sums["buyers"] * is_ripe)
        _put(cohort.ripe_returned, days, sums[f"back_{days}"] * is_ripe)
        _put(cohort.ripe_fen, days, sums[f"fen_{days}"] * is_ripe)
    for month in range(1, MOST_SHOWN + 1):
        if number := sums[f"month_{month}"]:
            _put(cohort.active, month, number)


def _put(into: dict[int, int], key: int, more: int) -> None:
    into[key] = into.get(key, 0) + more


def total(cohorts: Sequence[Cohort]) -> Cohort:
    """All of them as one."""
    whole = Cohort(cohorts[0].month)
    for each in cohorts:
        whole.buyers += each.buyers
        whole.again += each.again
        whole.net_fen += each.net_fen
        for name in ("returned", "ripe", "ripe_returned", "ripe_fen"):
            for days, number in getattr(each, name).items():
                _put(getattr(whole, name), days, number)
    return whole


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
