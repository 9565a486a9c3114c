"""Deletes callbacks that are older than [retention] keeps them, a little at a time."""

from datetime import datetime, timedelta

from sqlalchemy import Boolean, Connection, delete, func, literal_column, select

from scrm.callbacks.models import callback_replay, inbox_event, inbox_failure
from scrm.db import Priority
from scrm.services import Services

TICK_SECONDS = 20.0
_AT_ONCE = 500
_ROUNDS = 20


async def tick(services: Services) -> int:
    """At most 10,000 of each kind, in transactions that nobody waits for; returns how many went."""
    keep, now, gone = services.settings.retention, services.clock.now(), 0
    for days, odd in ((keep.callback_days, False), (keep.odd_callback_days, True)):
        for _ in range(_ROUNDS if days else 0):
            before = now - timedelta(days=days)
            deleted = await services.db.write_as(Priority.IMPORT, sweep, before=before, odd=odd)
            gone += deleted
            if deleted < _AT_ONCE:
                break
            await services.worker.give_way()
    return gone


def sweep(conn: Connection, *, before: datetime, odd: bool, limit: int = _AT_ONCE) -> int:
    """What was handled, or (`odd`) what nobody could use; what still waits stays.

    The very first callback stays too: it says since when WeCom tells us anything.
    """
    table = inbox_event.c
    states = "'unknown', 'unreadable', 'failed'" if odd else "'done', 'unused'"
    is_over = literal_column(f"inbox_event.state IN ({states})", Boolean)
    first = select(func.min(table.id)).scalar_subquery()
    old = (
        select(table.id)
        .where(table.received_at < before, is_over, table.id > first)
        .order_by(table.received_at)
        .limit(limit)
    )
    ids = list(conn.scalars(old))
    if ids:
        conn.execute(delete(inbox_failure).where(inbox_failure.c.inbox_id.in_(ids)))
        # The state is said once more: what was put to work again since the look stays.
        conn.execute(delete(inbox_event).where(table.id.in_(ids), is_over))
    finished = callback_replay.c.finished_at
    conn.execute(delete(callback_replay).where(finished.is_not(None), finished < before))
    return len(ids)
