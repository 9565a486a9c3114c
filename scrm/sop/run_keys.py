"""What makes two runs of a playbook the same: the business keys that events give, and how often one may come again."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from scrm.errors import ScrmError
from scrm.events import Event
from scrm.sop.schema import Playbook

# Where nobody says otherwise.
_SHANGHAI = timezone(timedelta(hours=8))
_MOST = 120


@dataclass(frozen=True, slots=True)
class RunKey:
    """One kind of run key: what authors read, and its value from an event ('' when the event has none).

    An `own` value means something for one person only, so the person stands before it.
    """

    name: str
    title: str
    value: Callable[[Event, tzinfo], str]
    own: bool = True


@dataclass(frozen=True, slots=True)
class LastRun:
    """An earlier run of one person in one playbook; `is_active` until it has ended."""

    run_key: str
    enrolled_at: datetime
    is_active: bool


def _fact(*names: str, or_key: bool = False) -> Callable[[Event, tzinfo], str]:
    def find(event: Event, zone: tzinfo) -> str:
        for name in names:
            found = event.facts.get(name)
            if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
                return str(found)
        return event.key if or_key else ""

    return find


def _year(event: Event, zone: tzinfo) -> str:
    """A date says itself which year it is of; else the year in which it happened."""
    year = event.facts.get("year")
    return str(year if isinstance(year, int) else event.occurred_at.astimezone(zone).year)


def _case(event: Event, zone: tzinfo) -> str:
    number = event.facts.get("refund_no")
    if isinstance(number, str) and number:
        return f"{event.key}/{number}"
    return _fact("case_id", or_key=True)(event, zone)


RUN_KEYS = (
    RunKey("person", "同一位客户", lambda event, zone: ""),
    RunKey("order", "同一笔订单", _fact(or_key=True), own=False),
    RunKey("coupon", "同一张券", _fact(or_key=True), own=False),
    RunKey("person+year", "同一位客户同一年", _year),
    RunKey("parcel", "同一个包裹", _fact("parcel", or_key=True), own=False),
    RunKey("product", "同一位客户同一件商品", _fact("sku", "product_id", or_key=False)),
    RunKey("sku_family", "同一位客户同一系列商品", _fact("sku_family", "product_id", "sku")),
    RunKey("live", "同一位客户同一场直播", _fact("live_id", or_key=True)),
    RunKey("case", "同一个售后或投诉", _case, own=False),
    RunKey("friend", "同一位被介绍的朋友", _fact(or_key=True), own=False),
    RunKey("batch", "同一位客户同一批", _fact("batch", or_key=True)),
)
TITLES: Mapping[str, str] = {each.name: each.title for each in RUN_KEYS}
_BY_NAME = {each.name: each for each in RUN_KEYS}


def run_key(playbook: Playbook, event: Event, last: LastRun | None = None, zone: tzinfo = _SHANGHAI) -> str:
    """What makes two runs of a playbook the same: "person:12", "order:taobao/shop/123", "person+year:12@2026".

    With re-entry every N days the key carries a number: it stays the last run's own until N days have passed, so that
    the unique index refuses a second run, also when two processes ask at once. Raises ScrmError when the event has no
    such value.
    """
    key = base_key(playbook, event, zone)
    if playbook.reentry_every is None:
        return key
    if last is None:
        return f"{key}#1"
    if last.is_active or event.occurred_at < last.enrolled_at + playbook.reentry_every:
        return last.run_key
    return f"{key}#{number_of(last.run_key) + 1}"


def base_key(playbook: Playbook, event: Event, zone: tzinfo = _SHANGHAI) -> str:
    """The key without the number that re-entry gives it; raises ScrmError when the event has no such value."""
    kind = _BY_NAME[playbook.run_key]
    if kind.name == "person":
        return f"person:{event.person_id}"
    value = kind.value(event, zone).replace("#", "＃")[:_MOST]
    if not value:
        raise ScrmError(f"剧本“{playbook.title}”按{kind.title}计次，但事件 {event.name} 没有这个编号")
    return f"{kind.name}:{event.person_id}@{value}" if kind.own else f"{kind.name}:{value}"


def number_of(key: str) -> int:
    """The number that re-entry gave a run key; 1 for a key without one."""
    number = key.rpartition("#")[2]
    return int(number) if "#" in key and number.isdigit() else 1


def moved(run_key: str, gone: int, kept: int) -> str:
    """A run's key after its person has become another: "person:7#2" of 7 is "person:5#2" of 5."""
    base, mark, number = run_key.partition("#")
    name, _, value = base.partition(":")
    kind = _BY_NAME.get(name)
    if kind is None or not kind.own:
        return run_key
    owner, at, rest = value.partition("@")
    return f"{name}:{kept}{at}{rest}{mark}{number}" if owner == str(gone) else run_key


def words_for(keys: Collection[str]) -> str:
    """「person（同一位客户）、order（同一笔订单）」, for authors."""
    return "、".join(f"{each.name}（{each.title}）" for each in RUN_KEYS if each.name in keys)
