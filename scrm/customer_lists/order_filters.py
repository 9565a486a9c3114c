"""What narrows the list of orders: read from an address, told in words. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from scrm.customer_lists.filters import read_fen
from scrm.profiles.phones import normalise_phone

# Without dates so many days are shown, and more than so many at once by nobody.
DAYS, MOST_DAYS = 30, 366
STATES: Mapping[str, str] = {
    "pending_payment": "待付款",
    "paid": "已付款",
    "partially_shipped": "部分发货",
    "shipped": "已发货",
    "delivered": "已签收",
    "completed": "交易成功",
    "closed": "交易关闭",
    "aftersale": "有售后",
}
ROUTES: Mapping[str, str] = {
    "api": "接口",
    "push": "平台推送",
    "erp": "拉取",
    "file": "文件导入",
    "manual": "手工",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Every filter as somebody wrote it; empty means that it does not narrow."""

    q: str = ""
    state: str = ""
    channel: str = ""
    route: str = ""
    since: str = ""
    until: str = ""
    paid_from: str = ""
    paid_to: str = ""

    def query(self) -> str:
        """As in an address."""
        return urlencode([(each.name, value) for each in fields(self) if (value := getattr(self, each.name))])


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The filters as the database compares them; a moment is None where only the words narrow. With problems nobody's
    order fits.
    """

    wanted: Wanted
    since: datetime | None = None
    until: datetime | None = None
    paid_from: int | None = None
    paid_to: int | None = None
    phone_lookup: str = ""
    problems: tuple[str, ...] = ()


def read(query: Mapping[str, str]) -> Wanted:
    return Wanted(**{each.name: query.get(each.name, "").strip()[:80] for each in fields(Wanted)})


def read_text(query: str) -> Wanted:
    """As `Wanted.query` wrote it."""
    return read(dict(parse_qsl(query)))


def narrow(wanted: Wanted, zone: ZoneInfo, lookup: Callable[[str], str], now: datetime) -> Narrowed:
    """Days are the shop's own, the last one is meant whole. Without days and words: the last DAYS days."""
    problems: list[str] = []
    for key, known, title in ((wanted.state, STATES, "状态"), (wanted.route, ROUTES, "来源")):
        if key and key not in known:
            problems.append(f"{title}没有“{key}”，请重新选择")
    first, last = _day(wanted.since, problems), _day(wanted.until, problems)
    today = now.astimezone(zone).date()
    if first or last or not wanted.q:
        last = last or max(first or today, today)
        first = first or last - timedelta(days=DAYS - 1)
        if first > last:
            problems.append(f"开始日期 {first} 在结束日期 {last} 之后，请改一下")
        elif (last - first).days >= MOST_DAYS:
            problems.append(f"一次最多看 {MOST_DAYS} 天，现在选了 {(last - first).days + 1} 天，请缩短")
    phone = normalise_phone(wanted.q)
    return Narrowed(
        wanted,
        datetime.combine(first, time(), zone) if first else None,
        datetime.combine(last, time(), zone) + timedelta(days=1) if last else None,
        read_fen(wanted.paid_from, "实付", problems),
        read_fen(wanted.paid_to, "实付", problems),
        lookup(phone) if phone else "",
        tuple(dict.fromkeys(problems)),
    )


def _day(text: str, problems: list[str]) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        day = None
    if text and (day is None or not 1990 <= day.year <= 2100):
        problems.append(f"下单时间要写日期，例如 2026-03-01，写的是“{text}”")
        return None
    return day
