"""All SQL of pushed messages after they were kept: what waits, what became of it, what is shown and repeated."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, literal_column, or_, select, update

from scrm.commerce import status_words
from scrm.commerce import store as order_store
from scrm.commerce.canonical import Order
from scrm.commerce.hooks.inbox import APPLY, LANE
from scrm.commerce.hooks.models import hook_message
from scrm.db.bulk import among, update_rows
from scrm.db.vault import Vault
from scrm.work import queue
from scrm.work.models import work_item

State = Literal["done", "unused", "stale", "unreadable", "failed"]
ODD = ("unreadable", "failed")

_CLEARED = 500

_FETCH_ATTEMPTS = timedelta(hours=2)


@dataclass(slots=True)
class Message:
    """A kept message with what was read from it; `state` is set when it ended before it came to an order."""

    id: int
    source: str
    subject: str
    version: int
    orders: list[Order] = field(default_factory=list)
    fetch: list[queue.Item] = field(default_factory=list)
    state: State = "done"
    reason: str = ""
    order_no: str = ""
    # Something of it could not be read: what could is saved, and the message stays on the board.
    is_flawed: bool = False


def list_new(conn: Connection, limit: int) -> list[Row[Any]]:
    """What waits, in the order in which it came."""
    table = hook_message.c
    return list(
        conn.execute(
            select(table.id, table.source, table.topic, table.subject, table.version, table.body_sealed)
            .where(literal_column("hook_message.state = 'new'"))
            .order_by(table.id)
            .limit(limit)
        )
    )


def list_waiting_items(conn: Connection) -> list[int]:
    """Work items that ask for nothing but what the running one does: their rows are visible already."""
    rows = conn.execute(
        select(work_item.c.id)
        .where(literal_column("work_item.state = 0"), work_item.c.lane == LANE, work_item.c.kind == APPLY)
        .limit(5000)
    )
    return list(rows.scalars())


def apply(
    conn: Connection, messages: Sequence[Message], *, now: datetime, vault: Vault, route: order_store.Route = "push"
) -> None:
    """Orders and outcomes of a batch in one transaction; a message that is out of date changes nothing."""
    _find_stale(conn, messages)
    live = [message for message in messages if message.state == "done"]
    batch = [order for message in live for order in message.orders]
    for source in dict.fromkeys(message.source for message in live):
        of_source = [order for message in live if message.source == source for order in message.orders]
        status_words.settle(conn, source, of_source, now=now)
    if batch:
        order_store.save_orders(conn, batch, now=now, vault=vault, route=route)
    for message in live:
        for item in message.fetch:
            queue.add(conn, item, now=now)
    rows = [
        {
            "id": message.id,
            "state": "unreadable" if message.is_flawed else message.state,
            "order_no": message.order_no[:80],
            "reason": message.reason[:1000],
            "done_at": now,
        }
        for message in messages
    ]
    update_rows(conn, hook_message, rows, ("state", "order_no", "reason", "done_at"))


def _find_stale(conn: Connection, messages: Sequence[Message]) -> None:
    """Of one subject only the highest version counts, whether it came earlier or stands in this batch."""
    counted = [message for message in messages if message.subject and message.version and message.state == "done"]
    if not counted:
        return
    table = hook_message.c
    rows = conn.execute(
        select(table.source, table.subject, func.max(table.version).label("version"))
        .where(
            among(conn, table.subject, sorted({message.subject for message in counted})),
            literal_column("hook_message.subject <> ''"),
            or_(table.state == "done", table.id.in_([message.id for message in counted])),
        )
        .group_by(table.source, table.subject)
    )
    newest = {(row.source, row.subject): row.version for row in rows}
    for message in counted:
        if message.version < newest.get((message.source, message.subject), 0):
            message.state, message.reason = "stale", "更新的版本已经处理过"


# -- for the board


def list_messages(
    conn: Connection, *, source: str = "", state: str = "", before: int | None = None, limit: int
) -> list[Row[Any]]:
    """The newest first; state `odd` is everything that nobody could use."""
    query = select(hook_message).order_by(hook_message.c.id.desc()).limit(limit)
    if state == "odd":
        query = query.where(literal_column("hook_message.state IN ('unreadable', 'failed')"))
    elif state:
        query = query.where(hook_message.c.state == state)
    if source:
        query = query.where(hook_message.c.source == source)
    if before is not None:
        query = query.where(hook_message.c.id < before)
    return list(conn.execute(query))


def tally(conn: Connection, *, since: datetime) -> dict[str, Row[Any]]:
    """By source: how many came since, how many were odd, and when the last one came."""
    table = hook_message.c
    rows = conn.execute(
        select(
            table.source,
            func.count().label("came"),
            func.sum(case((table.state.in_(ODD), 1), else_=0)).label("odd"),
            func.sum(case((table.state == "new", 1), else_=0)).label("waiting"),
            func.max(table.received_at).label("last_at"),
        )
        .where(table.received_at >= since)
        .group_by(table.source)
    )
    return {row.source: row for row in rows}


def count_odd(conn: Connection, most: int = 100) -> int:
    """How many nobody could use; counted no further than `most`."""
    odd = select(hook_message.c.id).where(literal_column("hook_message.state IN ('unreadable', 'failed')")).limit(most)
    return int(conn.execute(select(func.count()).select_from(odd.subquery())).scalar_one())


def replay(conn: Connection, *, now: datetime, ids: Collection[int] = (), source: str = "") -> int:
    """Put messages to work once more: those named, or all odd ones (of one source); returns how many there are."""
    again = update(hook_message).values(state="new", reason="", done_at=None)
    readable = hook_message.c.body_sealed != ""
    if ids:
        again = again.where(hook_message.c.id.in_(list(ids)), hook_message.c.state != "new", readable)
    else:
        again = again.where(literal_column("hook_message.state IN ('unreadable', 'failed')"), readable)
        if source:
            again = again.where(hook_message.c.source == source)
    count = len(conn.execute(again.returning(hook_message.c.id)).all())
    if count:
        queue.add_many(conn, [queue.Item(lane=LANE, kind=APPLY, order_key=APPLY)], now=now)
    return count


# -- by the clock


def wake(conn: Connection, *, now: datetime) -> bool:
    """Work for messages that lost theirs: it was buried while the database was away."""
    waits = conn.execute(
        select(hook_message.c.id)
        .where(literal_column("hook_message.state = 'new'"), hook_message.c.received_at < now - timedelta(seconds=10))
        .limit(1)
    ).first()
    if waits is None:
        return False
    at_work = conn.execute(
        select(work_item.c.id)
        .where(
            work_item.c.lane == LANE,
            work_item.c.order_key == APPLY,
            literal_column("work_item.order_key IS NOT NULL AND work_item.state < 2"),
        )
        .limit(1)
    ).first()
    if at_work is None:
        queue.add_many(conn, [queue.Item(lane=LANE, kind=APPLY, order_key=APPLY)], now=now)
    return at_work is None


def clear(conn: Connection, *, now: datetime, body_days: int, days: int) -> int:
    """Empty what was applied `body_days` ago, forget what came `days` ago (0: never); at most 500 of each, returns how
    many."""
    return (_empty(conn, now - timedelta(days=body_days)) if body_days else 0) + (
        _forget(conn, now - timedelta(days=days)) if days else 0
    )


def _empty(conn: Connection, before: datetime) -> int:
    table = hook_message.c
    finished = and_(table.state.in_(("done", "unused", "stale")), table.body_sealed != "")
    old = select(table.id).where(table.received_at < before, finished).order_by(table.received_at)
    emptied = conn.execute(
        update(hook_message)
        .where(table.id.in_(old.limit(_CLEARED)))
        .values(body_sealed="")
        .returning(hook_message.c.id)
    ).all()
    return len(emptied)


def _forget(conn: Connection, before: datetime) -> int:
    table = hook_message.c
    ancient = select(table.id).where(table.received_at < before).order_by(table.received_at).limit(_CLEARED)
    gone = conn.execute(delete(hook_message).where(table.id.in_(ancient)).returning(hook_message.c.id)).all()
    return len(gone)


def get_message(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(_GET, {"wanted": message_id}).one_or_none()


_GET = select(hook_message).where(hook_message.c.id == bindparam("wanted"))
