"""The rows of durable work: add, claim, finish, repeat, bury."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from scrm.db import insert_for, signal
from scrm.work.models import DEAD, LEASED, WAITING, work_item

LEASE = timedelta(seconds=60)
# A welcome code lives twenty seconds: when its worker dies, another one must come in time.
_LEASES = {"welcome": timedelta(seconds=6)}


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work to be done once, at `due_at` (None: at once).

    Items with the same `order_key` run one at a time in the order they were added; of the open items with one
    `dedupe_key` there is only one.
    """

    lane: str
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    order_key: str | None = None
    dedupe_key: str | None = None
    give_up_at: datetime | None = None
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An item that is ours until its lease ends; `attempts` counts this one."""

    id: int
    lane: str
    kind: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime
    give_up_at: datetime | None
    correlation: str


def add(conn: Connection, item: Item, *, now: datetime) -> bool:
    """True when it was added, False when an open item has the same dedupe key."""
    added = conn.execute(_add(conn.dialect.name, item.dedupe_key is not None), _row(item, now)).scalar_one_or_none()
    if added is not None:
        signal(conn, item.lane)
    return added is not None


@cache
def _add(dialect: str, may_be_there: bool) -> Any:
    statement = insert_for(dialect, work_item)
    if may_be_there:
        statement = statement.on_conflict_do_nothing()
    return statement.returning(work_item.c.id)


def add_many(conn: Connection, items: Iterable[Item], *, now: datetime) -> None:
    """Items without a dedupe key, in one statement."""
    rows = [_row(item, now) for item in items]
    if rows:
        conn.execute(work_item.insert(), rows)
        for lane in {row["lane"] for row in rows}:
            signal(conn, lane)


def _row(item: Item, now: datetime) -> dict[str, Any]:
    return {
        "lane": item.lane,
        "kind": item.kind,
        "payload": item.payload,
        "due_at": item.due_at or now,
        "order_key": item.order_key,
        "dedupe_key": item.dedupe_key,
        "give_up_at": item.give_up_at,
        "created_at": now,
        "correlation": item.correlation,
    }


@cache
def _claim(dialect: str) -> Any:
    earlier = work_item.alias("earlier")
    # The state is a literal: with a bound parameter PostgreSQL's generic plan cannot use the partial index.
    due = (
        select(work_item.c.id)
        .where(
            literal_column("work_item.state = 0"),
            work_item.c.lane == bindparam("of_lane"),
            work_item.c.due_at <= bindparam("at"),
            work_item.c.order_key.is_(None)
            | ~select(literal_column("1"))
            .select_from(earlier)
            .where(
                earlier.c.lane == work_item.c.lane,
                earlier.c.order_key == work_item.c.order_key,
                earlier.c.id < work_item.c.id,
                literal_column("earlier.order_key IS NOT NULL AND earlier.state < 2"),
            )
            .exists(),
        )
        .order_by(work_item.c.due_at, work_item.c.id)
        .limit(bindparam("most", type_=Integer))
    )
    if dialect == "postgresql":
        due = due.with_for_update(skip_locked=True)
    return (
        update(work_item)
        .where(work_item.c.id.in_(due))
        .values(state=LEASED, lease_until=bindparam("until"), attempts=work_item.c.attempts + 1)
        .returning(
            work_item.c.id,
            work_item.c.lane,
            work_item.c.kind,
            work_item.c.payload,
            work_item.c.attempts,
            work_item.c.created_at,
            work_item.c.give_up_at,
            work_item.c.correlation,
        )
    )


def lease_of(lane: str) -> timedelta:
    return _LEASES.get(lane, LEASE)


def claim(conn: Connection, lane: str, *, now: datetime, limit: int = 100) -> list[Claimed]:
    """Take the oldest due items of a lane under a lease of a minute.

    An item whose predecessor of the same order key is still open stays where it is.
    """
    wanted = {"of_lane": lane, "at": now, "until": now + lease_of(lane), "most": limit}
    rows = conn.execute(_claim(conn.dialect.name), wanted).all()
    return sorted((Claimed(**row._mapping) for row in rows), key=lambda claimed: claimed.id)


def give_up_dedupe_key(conn: Connection, item_id: int) -> None:
    """From now on another item with the same key may be added: what comes after the look at what is to be done.

    Work that asks somebody for a state begins with this, unless its key names a span of time that is over: a reason to
    ask that comes while the answer is on its way is not answered by it.
    """
    conn.execute(update(work_item).where(work_item.c.id == item_id).values(dedupe_key=None))


def finish(conn: Connection, ids: Sequence[int]) -> None:
    """Done work leaves no row; what it did is told by events, sends and the inbox."""
    if ids:
        conn.execute(_FINISH, {"ids": list(ids)})


_FINISH = delete(work_item).where(work_item.c.id.in_(bindparam("ids", expanding=True)))


def repeat(conn: Connection, item_id: int, *, due_at: datetime, error: str) -> None:
    conn.execute(
        update(work_item)
        .where(work_item.c.id == item_id)
        .values(state=WAITING, due_at=due_at, lease_until=None, last_error=error[:1000])
    )


def bury(conn: Connection, item_id: int, *, error: str, held: bool = False) -> None:
    """Dead letter: kept, shown, and repeated only when somebody asks; what is held goes on with all others that are."""
    conn.execute(
        update(work_item)
        .where(work_item.c.id == item_id)
        .values(state=DEAD, lease_until=None, last_error=error[:1000], held=held)
    )


_IS_HELD: ColumnElement[bool] = literal_column("work_item.held AND work_item.state = 2")


def newest_held(conn: Connection) -> int:
    """0 when nothing is held."""
    return int(conn.execute(select(func.max(work_item.c.id)).where(_IS_HELD)).scalar() or 0)


def has_held(conn: Connection, *, before: datetime) -> bool:
    """Whether anything held was tried for the last time before then."""
    return (
        conn.execute(select(work_item.c.id).where(_IS_HELD, work_item.c.due_at < before).limit(1)).first() is not None
    )


def count_held(conn: Connection) -> int:
    return int(conn.execute(select(func.count()).select_from(work_item).where(_IS_HELD)).scalar_one())


def oldest_held(
    conn: Connection, *, after: int, up_to: int, before: datetime | None = None, limit: int = 500
) -> list[int]:
    """The oldest of what is held, after one id and up to another; `before` leaves out what was tried later than that."""
    query = select(work_item.c.id).where(_IS_HELD, work_item.c.id > after, work_item.c.id <= up_to)
    if before is not None:
        query = query.where(work_item.c.due_at < before)
    return list(conn.scalars(query.order_by(work_item.c.id).limit(limit)))


def revive_many(conn: Connection, ids: Sequence[int], *, now: datetime) -> int:
    """`revive` for each; returns how many it was for."""
    return sum(revive(conn, each, now=now) for each in ids)


def revive(conn: Connection, item_id: int, *, now: datetime) -> bool:
    """Give a dead letter another chance; False when it is not one. Where an open item does the same, it is dropped."""
    if _is_asked_for_again(conn, item_id):
        return discard(conn, item_id) is not None
    revived = conn.execute(
        update(work_item)
        .where(work_item.c.id == item_id, literal_column("work_item.state = 2"))
        .values(state=WAITING, due_at=now, attempts=0, give_up_at=None, held=False)
        .returning(work_item.c.id)
    )
    return revived.one_or_none() is not None


def _is_asked_for_again(conn: Connection, item_id: int) -> bool:
    dead, same = work_item.alias("dead"), work_item.alias("same")
    query = select(same.c.id).where(
        dead.c.id == item_id,
        same.c.dedupe_key == dead.c.dedupe_key,
        literal_column("same.dedupe_key IS NOT NULL AND same.state < 2"),
    )
    return conn.execute(query.limit(1)).first() is not None


def hasten(conn: Connection, lane: str, order_key: str, *, now: datetime) -> None:
    """What waits for its time under this key is due at once."""
    which = (work_item.c.lane == lane, work_item.c.order_key == order_key, work_item.c.due_at > now)
    # The condition of the index, word for word, and then what is meant.
    waits = literal_column("work_item.order_key IS NOT NULL AND work_item.state < 2 AND work_item.state = 0", Boolean)
    conn.execute(update(work_item).where(*which, waits).values(due_at=now))


def is_open(conn: Connection, lane: str, order_key: str) -> bool:
    """Whether anything waits or runs under this key."""
    theirs = literal_column("work_item.order_key IS NOT NULL AND work_item.state < 2", Boolean)
    query = select(work_item.c.id).where(work_item.c.lane == lane, work_item.c.order_key == order_key, theirs)
    return conn.execute(query.limit(1)).first() is not None


def has_expired(conn: Connection, *, now: datetime) -> bool:
    expired = select(work_item.c.id).where(literal_column("work_item.state = 1"), work_item.c.lease_until < now)
    return conn.execute(expired.limit(1)).first() is not None


def release_expired(conn: Connection, *, now: datetime, held: Sequence[int] = ()) -> int:
    """Renew the leases of what we hold, then let go what a dead worker held; returns how many came back."""
    if held:
        mine = work_item.c.id.in_(list(held))
        conn.execute(update(work_item).where(mine).values(lease_until=now + LEASE))
        for lane, lease in _LEASES.items():
            conn.execute(update(work_item).where(mine, work_item.c.lane == lane).values(lease_until=now + lease))
    back = conn.execute(
        update(work_item)
        .where(literal_column("work_item.state = 1"), work_item.c.lease_until < now)
        .values(state=WAITING, lease_until=None)
        .returning(work_item.c.id)
    )
    return len(back.all())


def release_all(conn: Connection) -> int:
    """SQLite has one process: whatever is leased when it starts was left behind by the one before."""
    back = conn.execute(
        update(work_item)
        .where(literal_column("work_item.state = 1"))
        .values(state=WAITING, lease_until=None)
        .returning(work_item.c.id)
    )
    return len(back.all())


_HAS_DUE = (
    select(work_item.c.id)
    .where(
        literal_column("work_item.state = 0"),
        work_item.c.lane == bindparam("lane"),
        work_item.c.due_at <= bindparam("now"),
    )
    .limit(1)
)


def has_due(conn: Connection, lane: str, *, now: datetime) -> bool:
    """A cheap look before claiming: readers do not disturb SQLite's writer."""
    return conn.execute(_HAS_DUE, {"lane": lane, "now": now}).first() is not None


_LANES_DUE = (
    select(work_item.c.lane)
    .where(literal_column("work_item.state = 0"), work_item.c.due_at <= bindparam("now"))
    .distinct()
)


def lanes_due(conn: Connection, *, now: datetime) -> set[str]:
    """The lanes in which something is due."""
    return set(conn.execute(_LANES_DUE, {"now": now}).scalars())


def next_due_at(conn: Connection, lane: str) -> datetime | None:
    return conn.execute(
        select(func.min(work_item.c.due_at)).where(literal_column("work_item.state = 0"), work_item.c.lane == lane)
    ).scalar_one_or_none()


def oldest_waiting(conn: Connection, *, now: datetime) -> datetime | None:
    """When the item that has waited longest became due; None when nothing waits."""
    return conn.execute(
        select(func.min(work_item.c.due_at)).where(literal_column("work_item.state = 0"), work_item.c.due_at <= now)
    ).scalar_one_or_none()


class Trying(NamedTuple):
    """Items of one kind that failed alike; `due_at` is when the first of them is tried again."""

    kind: str
    error: str
    many: int
    due_at: datetime


_IS_DEAD: ColumnElement[bool] = literal_column("work_item.state = 2")


def list_dead(conn: Connection, *, kind: str = "", before: int | None = None, limit: int = 100) -> list[Any]:
    """Dead letters, the newest first; `before` is the last id already seen."""
    query = select(work_item).where(_IS_DEAD).order_by(work_item.c.id.desc()).limit(limit)
    if kind:
        query = query.where(work_item.c.kind == kind)
    if before is not None:
        query = query.where(work_item.c.id < before)
    return list(conn.execute(query))


# Of a longer queue only those that are next are looked at.
_LOOKED_AT = 1_000


def list_trying(conn: Connection, lanes: Iterable[str]) -> list[Trying]:
    """What failed and waits to be tried again, by kind and error, the most frequent first."""
    found: dict[tuple[str, str], Trying] = {}
    for lane in lanes:
        waiting = select(work_item.c.kind, work_item.c.last_error, work_item.c.due_at).where(
            literal_column("work_item.state = 0"), work_item.c.lane == lane
        )
        following = waiting.order_by(work_item.c.due_at, work_item.c.id).limit(_LOOKED_AT)
        for row in conn.execute(following):
            if row.last_error:
                known = found.get((row.kind, row.last_error), Trying(row.kind, row.last_error, 0, row.due_at))
                due_at = min(known.due_at, row.due_at)
                found[row.kind, row.last_error] = Trying(row.kind, row.last_error, known.many + 1, due_at)
    return sorted(found.values(), key=lambda each: -each.many)


def find_dead(conn: Connection, item_id: int) -> Any | None:
    """The dead letter; None when it is not one (any more)."""
    return conn.execute(select(work_item).where(work_item.c.id == item_id, _IS_DEAD)).one_or_none()


def count_dead_by_kind(conn: Connection) -> dict[str, int]:
    """The most frequent first."""
    many = func.count()
    rows = conn.execute(
        select(work_item.c.kind, many.label("many")).where(_IS_DEAD).group_by(work_item.c.kind).order_by(many.desc())
    )
    return {row.kind: row.many for row in rows}


def oldest_dead(conn: Connection, kind: str, *, after: int, up_to: int, limit: int = 500) -> list[int]:
    """The oldest dead letters of a kind, after one id and up to another."""
    span = (work_item.c.id > after, work_item.c.id <= up_to)
    query = select(work_item.c.id).where(_IS_DEAD, work_item.c.kind == kind, *span)
    return list(conn.scalars(query.order_by(work_item.c.id).limit(limit)))


def discard(conn: Connection, item_id: int) -> Any | None:
    """The dead letter that is gone now; None when it is not one."""
    gone = delete(work_item).where(work_item.c.id == item_id, _IS_DEAD)
    return conn.execute(
        gone.returning(work_item.c.kind, work_item.c.payload, work_item.c.created_at, work_item.c.last_error)
    ).one_or_none()


def count_by_lane(conn: Connection) -> dict[tuple[str, int], int]:
    rows = conn.execute(
        select(work_item.c.lane, work_item.c.state, func.count().label("items")).group_by(
            work_item.c.lane, work_item.c.state
        )
    )
    return {(row.lane, row.state): row.items for row in rows}
