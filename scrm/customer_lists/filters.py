"""What narrows and orders a list of customers: read from an address, written back into one, told in words. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from scrm.profiles.phones import normalise_phone

# By whom one is followed, as a filter says it.
FRIENDS: Mapping[str, str] = {"yes": "是好友", "lost": "已删除员工", "none": "没有加过好友"}
# How several tags are meant, as a filter says it; and how it is told before each of them.
TAGGED: Mapping[str, str] = {"": "有任意一个", "all": "同时都有", "none": "一个都没有"}
_TAGGED_TITLES = {"": "标签", "all": "都有标签", "none": "没有标签"}
MOST_VALUES = 20


@dataclass(frozen=True, slots=True)
class Order:
    """`column` is one of person_stat; who has nothing there comes last, whichever way it goes."""

    key: str
    title: str
    column: str = ""


ORDERS: Mapping[str, Order] = {
    each.key: each
    for each in (
        Order("new", "建档时间"),
        Order("paid", "累计实付", "paid_fen"),
        Order("ordered", "最近下单", "last_order_at"),
    )
}
NEWEST = "new"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Every filter as somebody wrote it; empty means that it does not narrow."""

    q: str = ""
    # Of several, any will do; of tags as `tagged` says.
    owner: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    tagged: str = ""
    stage: str = ""
    segment: str = ""
    friend: str = ""
    added_from: str = ""
    added_to: str = ""
    ordered_from: str = ""
    ordered_to: str = ""
    paid_from: str = ""
    paid_to: str = ""
    sort: str = ""
    up: str = ""

    @property
    def order(self) -> Order:
        return ORDERS.get(self.sort, ORDERS[NEWEST])

    @property
    def is_narrow(self) -> bool:
        return any(getattr(self, name) for name in NAMES)

    def query(self, **changes: Any) -> str:
        """As in an address; `changes` are other values for some of it."""
        changed = replace(self, **changes)
        said = {each.name: value for each in fields(changed) if (value := getattr(changed, each.name))}
        return urlencode({name: value for name, value in said.items() if name != "tagged" or "tag" in said}, doseq=True)

    def tag_tree(self) -> dict[str, Any] | None:
        """The tags as a condition."""
        leaves: list[dict[str, Any]] = [{"tag": name} for name in self.tag]
        if not leaves:
            return None
        if self.tagged == "none":
            return {"not": {"any": leaves}}
        return {"all" if self.tagged == "all" else "any": leaves}


SEVERAL = ("owner", "channel", "tag")
NAMES = tuple(each.name for each in fields(Wanted) if each.name not in ("sort", "up", "tagged"))
_MOST = {"q": 80}
_YUAN = re.compile(r"\d{1,9}(?:\.\d{1,2})?", re.ASCII)


def read(pairs: Iterable[tuple[str, str]]) -> Wanted:
    """What an address says, whole or broken; `problems` tells what of it cannot be used."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if text := value.strip()[: _MOST.get(name, 64)]:
            given.setdefault(name, []).append(text)
    said: dict[str, Any] = {each.name: given.get(each.name, [""])[0] for each in fields(Wanted)}
    for name in SEVERAL:
        said[name] = tuple(dict.fromkeys(given.get(name, ())))
    said["sort"] = said["sort"] if said["sort"] in ORDERS and said["sort"] != NEWEST else ""
    said["up"] = "1" if said["up"] == "1" else ""
    return Wanted(**said)


def read_text(query: str) -> Wanted:
    """The same from the part of an address behind its question mark."""
    return read(parse_qsl(query))


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The filters as the database compares them: moments and fen. `problems` are sentences; with any, nobody fits."""

    wanted: Wanted
    added_from: datetime | None = None
    added_to: datetime | None = None
    ordered_from: datetime | None = None
    ordered_to: datetime | None = None
    paid_from: int | None = None
    paid_to: int | None = None
    # The keyed hash of the phone that `q` is, if it is one.
    phone_lookup: str = ""
    problems: tuple[str, ...] = field(default=())


def narrow(wanted: Wanted, zone: ZoneInfo, lookup: Callable[[str], str]) -> Narrowed:
    """Days are the shop's own, the last one is meant whole; `lookup` makes the keyed hash of a phone."""
    problems: list[str] = []
    values: dict[str, Any] = {}
    for name, title in (("added", "添加时间"), ("ordered", "最近下单")):
        values |= dict(_days(wanted, name, title, zone, problems))
    for name in ("paid_from", "paid_to"):
        values[name] = read_fen(getattr(wanted, name), "累计实付", problems)
    if wanted.friend and wanted.friend not in FRIENDS:
        problems.append(f"好友状态没有“{wanted.friend}”，请重新选择")
    if wanted.tagged not in TAGGED:
        problems.append(f"标签的关系没有“{wanted.tagged}”，请重新选择")
    for name in SEVERAL:
        if (many := len(getattr(wanted, name))) > MOST_VALUES:
            problems.append(f"{_TITLES[name]}一次最多选 {MOST_VALUES} 个，现在选了 {many} 个，请去掉几个")
    phone = normalise_phone(wanted.q)
    values["phone_lookup"] = lookup(phone) if phone else ""
    return Narrowed(wanted, **values, problems=tuple(dict.fromkeys(problems)))


def _days(
    wanted: Wanted, name: str, title: str, zone: ZoneInfo, problems: list[str]
) -> Iterator[tuple[str, datetime | None]]:
    for end, more in (("from", 0), ("to", 1)):
        text = getattr(wanted, f"{name}_{end}")
        try:
            day = date.fromisoformat(text) + timedelta(days=more) if text else None
        except (ValueError, OverflowError):
            problems.append(f"{title}要写日期，例如 2026-03-01，写的是“{text}”")
            day = None
        yield f"{name}_{end}", datetime.combine(day, time(), zone) if day else None


def read_fen(text: str, title: str, problems: list[str]) -> int | None:
    """Yuan as somebody wrote them; what cannot be read is told of in `problems`."""
    if not text:
        return None
    if not _YUAN.fullmatch(text):
        problems.append(f"{title}要写金额（元），最多两位小数，写的是“{text}”")
        return None
    yuan, _, rest = text.partition(".")
    return int(yuan) * 100 + int(rest.ljust(2, "0") or 0)


@dataclass(frozen=True, slots=True)
class Said:
    """One filter in words, and the address without it."""

    title: str
    text: str
    without: str


def told(wanted: Wanted, names: Mapping[str, Mapping[str, str]]) -> list[Said]:
    """What narrows, one after the other; `names` has the titles of owners, channels, tags and segments by key."""
    found = []
    for name, title in _TITLES.items():
        chosen = getattr(wanted, name)
        if name in SEVERAL:
            title = _TAGGED_TITLES.get(wanted.tagged, title) if name == "tag" else title
            for value in chosen:
                others = tuple(each for each in chosen if each != value)
                found.append(Said(title, names.get(name, {}).get(value, value), wanted.query(**{name: others})))
        elif chosen:
            shown = FRIENDS.get(chosen, chosen) if name == "friend" else names.get(name, {}).get(chosen, chosen)
            found.append(Said(title, shown, wanted.query(**{name: ""})))
    for name, title, unit in _SPANS:
        low, high = getattr(wanted, f"{name}_from"), getattr(wanted, f"{name}_to")
        if low or high:
            text = f"{low} 至 {high}" if low and high else f"{low} 起" if low else f"至 {high}"
            found.append(Said(title, text + unit, wanted.query(**{f"{name}_from": "", f"{name}_to": ""})))
    return found


_TITLES = {
    "q": "查找",
    "owner": "跟进员工",
    "channel": "渠道",
    "tag": "标签",
    "stage": "阶段",
    "segment": "人群包",
    "friend": "好友状态",
}
_SPANS = (("added", "添加时间", ""), ("ordered", "最近下单", ""), ("paid", "累计实付", " 元"))
