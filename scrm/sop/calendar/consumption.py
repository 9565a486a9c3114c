"""When something bought is used up: by the person's own gaps between orders, else the shop's, else as the author says."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import groupby, pairwise
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scrm.events import Event
from scrm.sop.schema import Trigger

ANCHOR = "used_up"
# With fewer gaps the shop's median is chance.
LEAST_SAMPLES = 50
# So many orders of one's own tell more than everybody's.
OWN_ORDERS = 3
_LEAST, _MOST = 1.0, 730.0


class Bought(NamedTuple):
    """So many pieces, bought by somebody on a day."""

    person_id: int
    day: date
    qty: int


class Cycle(NamedTuple):
    """How many days one piece lasts, and from what that is known."""

    days: float
    words: str


def gaps(bought: Iterable[Bought]) -> list[float]:
    """Days that one piece lasted, for every order that another one of the same person followed; `bought` by person."""
    found: list[float] = []
    for _, mine in groupby(bought, key=lambda one: one.person_id):
        days = list(_by_day(mine))
        found += [(later - day).days / qty for (day, qty), (later, _) in pairwise(days)]
    return found


def _by_day(mine: Iterable[Bought]) -> Iterator[tuple[date, int]]:
    """What was bought on one day was bought at once."""
    pieces: dict[date, int] = {}
    for one in mine:
        pieces[one.day] = pieces.get(one.day, 0) + max(one.qty, 1)
    yield from sorted(pieces.items())


def choose(own: Sequence[Bought], of_all: tuple[float, int] | None, usual: timedelta) -> Cycle:
    """`of_all`: the shop's median, and of how many gaps."""
    mine = gaps(own)
    if len(mine) >= OWN_ORDERS - 1:
        return Cycle(_bounded(median(mine)), f"客户自己的复购间隔（{len(mine) + 1} 次购买）")
    if of_all is not None and of_all[1] >= LEAST_SAMPLES:
        return Cycle(_bounded(of_all[0]), f"本店的复购间隔（{of_all[1]:,} 次复购的中位数）")
    return Cycle(_bounded(usual / timedelta(days=1)), "剧本里写的周期，数据还不够")


def _bounded(days: float) -> float:
    return min(max(days, _LEAST), _MOST)


def qty_of(event: Event) -> int:
    said = event.facts.get("qty")
    return said if isinstance(said, int) and said > 0 else 1


def used_up_at(event: Event, cycle: Cycle, zone: ZoneInfo) -> datetime:
    """The beginning of the day on which it is gone."""
    day = event.occurred_at.astimezone(zone).date() + timedelta(days=round(cycle.days * qty_of(event)))
    return datetime.combine(day, time(), tzinfo=zone)


def usual_of(trigger: Trigger) -> Cycle:
    """As the author says, where nothing else is known."""
    return choose((), None, trigger.cycle or timedelta(days=30))


def skus_of(trigger: Trigger) -> tuple[str, ...]:
    """The codes that count as the same goods."""
    return tuple(str(each) for each in trigger.where.get("sku", ()))
