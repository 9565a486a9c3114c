"""Which errand comes first, and why, in words. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from web.texts import _

# Points of the playbook's class; a task that belongs to no playbook was asked for by somebody.
_CLASSES = {"P0": 60, "P1": 35, "P2": 40, "P3": 15, "P4": 5, "P5": 0}
_BY_HAND = 20
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


@dataclass(frozen=True, slots=True)
class Rank:
    """The more points the earlier; `reasons` say where they come from, the weightiest first."""

    points: int
    reasons: tuple[str, ...]


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
        *_half_done(errand),
        *_class(errand),
        *_time(errand, now, zone),
        *_worth(errand, high_fen),
        *_waiting(errand, now),
    ]
    points = sum(each for each, _words in found)
    if errand.is_spared:
        return Rank(points - 1000, (_("今天提醒已够多，这条不急"),))
    told = sorted((each for each in found if each[1]), key=lambda each: -each[0])
    return Rank(points, tuple(words for _points, words in told[:_REASONS]))


def _half_done(errand: Errand) -> list[tuple[int, str]]:
    return [(70, _("发没发出还没确认"))] if errand.is_unconfirmed else []


def _class(errand: Errand) -> list[tuple[int, str]]:
    if errand.is_promise:
        return [(40, _("你答应过的"))]
    words = {"P0": _("售后优先"), "P1": _("交易通知"), "P2": _("承诺与预约")}
    return [(_CLASSES.get(errand.priority, _BY_HAND), words.get(errand.priority, ""))]


def _time(errand: Errand, now: datetime, zone: ZoneInfo) -> list[tuple[int, str]]:
    if errand.due_at is None:
        return []
    if errand.due_at <= now:
        return [(80, _("已逾期"))]
    if errand.due_at - now <= _SOON:
        return [(50, _("两小时内到期"))]
    days = (errand.due_at.astimezone(zone).date() - now.astimezone(zone).date()).days
    return [(30, _("今天到期"))] if days == 0 else [(15, _("明天到期"))] if days == 1 else []


def _worth(errand: Errand, high_fen: int) -> list[tuple[int, str]]:
    words = _("累计 ¥{yuan}", yuan=f"{errand.worth_fen // 100:,}")
    if errand.worth_fen >= high_fen:
        return [(25, words)]
    return [(12, words)] if errand.worth_fen * 4 >= high_fen else []


def _waiting(errand: Errand, now: datetime) -> list[tuple[int, str]]:
    waited = now - errand.open_at
    return [(10, _("等了 {days} 天", days=waited.days))] if waited >= _LONG else []


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
    return errand.due_at.astimezone(zone).date() == now.astimezone(zone).date()


def is_overdue(errand: Errand, now: datetime) -> bool:
    return errand.due_at is not None and errand.due_at <= now
