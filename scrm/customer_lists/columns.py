"""The columns that a list of customers can have: one line each, for the page and for files. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from scrm.customer_lists.people import Customer
from scrm.profiles.words import add_way
from web.render import money, when

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """Where and when it is looked at."""

    zone: ZoneInfo
    now: datetime


@dataclass(frozen=True, slots=True)
class Column:
    """`tell` is for people, `cell` for a spreadsheet; `sort` is the order that its heading asks for."""

    key: str
    title: str
    tell: Callable[[Customer, Shown], str]
    cell: Callable[[Customer, Shown], Cell]
    sort: str = ""
    is_number: bool = False
    is_usual: bool = True


def _same(key: str, title: str, tell: Callable[[Customer], str], *, is_usual: bool = True) -> Column:
    return Column(key, title, lambda one, _: tell(one), lambda one, _: tell(one), is_usual=is_usual)


def _yuan(key: str, title: str, fen: Callable[[Customer], int], sort: str = "", *, is_usual: bool = True) -> Column:
    return Column(
        key,
        title,
        lambda one, _: money(found) if (found := fen(one)) else "",
        lambda one, _: fen(one) / 100,
        sort,
        is_number=True,
        is_usual=is_usual,
    )


def _moment(
    key: str, title: str, at: Callable[[Customer], datetime | None], sort: str = "", *, is_usual: bool = True
) -> Column:
    def tell(one: Customer, shown: Shown) -> str:
        return when(found, shown.zone, shown.now) if (found := at(one)) else ""

    def cell(one: Customer, shown: Shown) -> Cell:
        return f"{found.astimezone(shown.zone):%Y-%m-%d %H:%M}" if (found := at(one)) else None

    return Column(key, title, tell, cell, sort, is_usual=is_usual)


def _members(one: Customer) -> str:
    return "、".join(dict.fromkeys(str(each.member_name or each.userid) for each in one.follows if not each.ended_by))


def _channel(one: Customer) -> str:
    first = one.follows[0] if one.follows else None
    return str(first.channel_title or add_way(first.add_way) or first.state or "未知来源") if first else ""


def _average(one: Customer) -> int:
    return int((one.person.paid_fen or 0) // max(1, one.person.paid_orders or 0))


def _lost_at(one: Customer) -> datetime | None:
    return max((each.ended_at for each in one.follows if each.ended_by == "customer" and each.ended_at), default=None)


COLUMNS: Sequence[Column] = (
    _same("members", "跟进员工", _members),
    _same("owner", "负责人", lambda one: one.owner, is_usual=False),
    _same("channel", "来源渠道", _channel),
    _same("tags", "标签", lambda one: "、".join(one.tags)),
    _same("stage", "阶段", lambda one: str(one.person.stage)),
    Column(
        "orders",
        "付款订单",
        lambda one, _: str(one.person.paid_orders or ""),
        lambda one, _: one.person.paid_orders or 0,
        is_number=True,
    ),
    _yuan("paid", "累计实付", lambda one: one.person.paid_fen or 0, "paid"),
    _yuan("average", "客单价", _average, is_usual=False),
    _yuan("refunded", "累计退款", lambda one: one.person.refunded_fen or 0, is_usual=False),
    _moment("ordered", "最近下单", lambda one: one.person.last_order_at, "ordered"),
    _moment("added", "添加时间", lambda one: one.added_at),
    _moment("lost", "流失时间", _lost_at, is_usual=False),
    _moment("known", "建档时间", lambda one: one.person.created_at, "new", is_usual=False),
)
BY_KEY: Mapping[str, Column] = {each.key: each for each in COLUMNS}
USUAL = tuple(each.key for each in COLUMNS if each.is_usual)


def chosen(keys: Sequence[str] | None) -> list[Column]:
    """In their own order; what is unknown is left out, and nothing at all means the usual ones."""
    wanted = [each for each in COLUMNS if each.key in (keys or ())]
    return wanted or [BY_KEY[key] for key in USUAL]
