"""How a mass message went on since it was made: how many members confirmed, how many got it and how many could not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import accumulate, pairwise

from sqlalchemy import Connection

from scrm.db.tables import from_millis, to_millis
from scrm.mass_messages import store

MOST_STEPS = 48
_HOUR = timedelta(hours=1)
_STEPS = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)),
    *(_HOUR * hours for hours in (1, 2, 4, 8, 12, 24)),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """What had happened until then, all together; `failed` is what WeCom would not or could not deliver."""

    at: datetime
    confirmed: int
    sent: int
    failed: int


def read(conn: Connection, message_id: int, now: datetime, zone: tzinfo) -> list[Moment]:
    """From the making to the last thing that happened, or to now while members can still confirm; empty before that."""
    spread = store.spread_of(conn, message_id)
    if spread is None:
        return []
    until = now if spread.is_open else max(spread.last_at, spread.made_at)
    start, step = steps_of(spread.made_at, until, zone)
    counts = store.count_by_step(conn, message_id, to_millis(start), int(step.total_seconds() * 1000))
    return _add_up(start, step, until, counts)


def changes(moments: Sequence[Moment]) -> list[Moment]:
    """The moments at which something had changed, and the first."""
    pairs = pairwise(moments)
    return [*moments[:1], *(each for before, each in pairs if replace(each, at=before.at) != before)]


def steps_of(made_at: datetime, until: datetime, zone: tzinfo) -> tuple[datetime, timedelta]:
    """The finest step with no more than `MOST_STEPS` of them, and the last round moment of it before the making."""
    step = next((each for each in _STEPS if until - made_at <= each * (MOST_STEPS - 1)), _STEPS[-1])
    offset = int((made_at.astimezone(zone).utcoffset() or timedelta()).total_seconds() * 1000)
    width = int(step.total_seconds() * 1000)
    return from_millis((to_millis(made_at) + offset) // width * width - offset), step


def _add_up(start: datetime, step: timedelta, until: datetime, counts: Mapping[str, Mapping[int, int]]) -> list[Moment]:
    last = max((number for each in counts.values() for number in each), default=0)
    steps = max((until - start) // step, last) + 1
    # What is still going on is told until now, not until the end of a step that has not come.
    ends = [start, *(start + step * number for number in range(1, steps)), max(until, start + step * (steps - 1))]
    sums = [list(_sums(counts.get(name, {}), steps)) for name in ("confirmed", "sent", "failed")]
    return [Moment(at, *each) for at, *each in zip(ends, *sums, strict=True)]


def _sums(counts: Mapping[int, int], steps: int) -> Iterable[int]:
    return accumulate((counts.get(number, 0) for number in range(steps)), initial=0)
