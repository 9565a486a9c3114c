"""Which errand comes first, and why, in words. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from web.texts import N_, _

_SOON = timedelta(hours=2)
_LONG = timedelta(days=2)
_REASONS = 3
_FAR = 2**42


@dataclass(frozen=True, slots=True)
class Errand:
    """What the ranking knows of one open task.

    `due_at` is when it is too late: a task expires then, a promise is broken. `worth_fen` is what the customer paid.
    """

    id: int
    external_userid: str
    open_at: datetime
    due_at: datetime | None = None
    priority: str = ""
    is_promise: bool = False
    is_unconfirmed: bool = False
    is_spared: bool = False
    worth_fen: int = 0


class Reason(NamedTuple):
    """Points, and the words for them with their values; no words: not worth telling."""

    points: int
    words: str = ""
    values: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rank:
    """The more points the earlier; `reasons` say where they come from, the weightiest first."""

    points: int
    told: tuple["Reason", ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Of hundreds that are ranked a handful is shown: the words are made when they are."""
        return tuple(_(each.words, **each.values) for each in self.told)


@dataclass(frozen=True, slots=True)
class Bundle:
    """One customer's errands, the most urgent first; stands where that one stands."""

    external_userid: str
    errands: tuple[Errand, ...]
    rank: Rank

    @property
    def place(self) -> str:
        """Where it stands in the queue, as text for an address: a page goes on behind it."""
        return ".".join(map(str, _place(self.rank, self.errands[0])))


def rank(errand: Errand, now: datetime, zone: ZoneInfo, high_fen: int) -> Rank:
    """How much an errand presses: its class, its time, what the customer is worth, and what is half done."""
    found = [
        *([_HALF_DONE] if errand.is_unconfirmed else []),
        _class(errand),
        *_time(errand, now, zone),
        *_worth(errand, high_fen),
        *_waiting(errand, now),
    ]
    points = sum(each.points for each in found)
    if errand.is_spared:
        return Rank(points - 1000, (_SPARED,))
    told = sorted((each for each in found if each.words), key=lambda each: -each.points)
    return Rank(points, tuple(told[:_REASONS]))


_SPARED = Reason(-1000, N_("今天提醒已够多，这条不急"))
_HALF_DONE = Reason(70, N_("发没发出还没确认"))
_PROMISED = Reason(40, N_("你答应过的"))
# Points of the playbook's class; a task that belongs to no playbook was asked for by somebody.
_CLASSES = {
    "P0": Reason(60, N_("售后优先")),
    "P1": Reason(35, N_("交易通知")),
    "P2": Reason(40, N_("承诺与预约")),
    "P3": Reason(15),
    "P4": Reason(5),
    "P5": Reason(0),
}
_BY_HAND = Reason(20)
_OVERDUE, _IN_TWO_HOURS = Reason(80, N_("已逾期")), Reason(50, N_("两小时内到期"))
_TODAY, _TOMORROW = Reason(30, N_("今天到期")), Reason(15, N_("明天到期"))


def _class(errand: Errand) -> Reason:
    return _PROMISED if errand.is_promise else _CLASSES.get(errand.priority, _BY_HAND)


def _time(errand: Errand, now: datetime, zone: ZoneInfo) -> Iterator[Reason]:
    if errand.due_at is None:
        return
    left = errand.due_at - now
    if left <= timedelta():
        yield _OVERDUE
    elif left <= _SOON:
        yield _IN_TWO_HOURS
    else:
        today_ends, tomorrow_ends = _ends(now, zone)
        if errand.due_at < today_ends:
            yield _TODAY
        elif errand.due_at < tomorrow_ends:
            yield _TOMORROW


@lru_cache(maxsize=8)
def _ends(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When today and tomorrow are over in the shop's zone: asked for hundreds of errands at one moment."""
    midnight = datetime.combine(now.astimezone(zone).date(), time(), zone)
    return (midnight + timedelta(days=1)).astimezone(UTC), (midnight + timedelta(days=2)).astimezone(UTC)


def _worth(errand: Errand, high_fen: int) -> Iterator[Reason]:
    if errand.worth_fen * 4 >= high_fen:
        points = 25 if errand.worth_fen >= high_fen else 12
        yield Reason(points, N_("累计 ¥{yuan}"), {"yuan": f"{errand.worth_fen // 100:,}"})


def _waiting(errand: Errand, now: datetime) -> Iterator[Reason]:
    waited = now - errand.open_at
    if waited >= _LONG:
        yield Reason(10, N_("等了 {days} 天"), {"days": waited.days})


def bundle(errands: Iterable[Errand], now: datetime, zone: ZoneInfo, high_fen: int) -> list[Bundle]:
    """One bundle for each customer, the most pressing first; what a member is spared comes last."""
    ranked = [(rank(errand, now, zone, high_fen), errand) for errand in errands]
    ranked.sort(key=lambda each: _place(*each))
    mine: dict[str, list[Errand]] = {}
    first: dict[str, Rank] = {}
    for its_rank, errand in ranked:
        mine.setdefault(errand.external_userid, []).append(errand)
        first.setdefault(errand.external_userid, its_rank)
    return [Bundle(contact, tuple(errands), first[contact]) for contact, errands in mine.items()]


def _place(its_rank: Rank, errand: Errand) -> tuple[int, int, int]:
    due = int(errand.due_at.timestamp()) if errand.due_at is not None else _FAR
    return -its_rank.points, due, errand.id


def behind(bundles: Sequence[Bundle], place: str) -> list[Bundle]:
    """Those that stand behind a place; all of them when it is none."""
    parts = place.split(".")
    if len(parts) != 3 or not all(part.removeprefix("-").isdecimal() and part.isascii() for part in parts):
        return list(bundles)
    wanted = tuple(int(part[:20]) for part in parts)
    return [each for each in bundles if _place(each.rank, each.errands[0]) > wanted]


# What a member may narrow the queue to ---------------------------------------------------------------------------------


def is_due_today(errand: Errand, now: datetime, zone: ZoneInfo) -> bool:
    if errand.due_at is None or errand.due_at <= now:
        return False
    return errand.due_at < _ends(now, zone)[0]


def is_overdue(errand: Errand, now: datetime) -> bool:
    return errand.due_at is not None and errand.due_at <= now
