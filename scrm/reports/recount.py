"""What reports keep against a recount, a slice at a time; what differs is told, and mended if asked."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from scrm.commerce import hours
from scrm.commerce.store import take_turn
from scrm.contact_ways.models import way_add
from scrm.db import Database, Priority
from scrm.reports import adds


@dataclass(slots=True)
class Recounted:
    """Rows of the ledger that were looked at, those that differed, and hours of sales that differed."""

    rows: int = 0
    differing: int = 0
    hours: int = 0


async def recount_reports(db: Database, *, fix: bool) -> Recounted:
    """News that the tick has not followed yet are no difference."""
    found, after = Recounted(), 0
    while ids := await db.read(_next, after):
        work = (
            db.write_as(Priority.IMPORT, _look, after, ids[-1], fix) if fix else db.read(_look, after, ids[-1], False)
        )
        found.differing += await work
        found.rows += len(ids)
        after = ids[-1]
    found.hours = await (db.write_as(Priority.IMPORT, _mend_hours) if fix else db.read(hours.differing))
    return found


def _next(conn: Connection, after: int) -> list[int]:
    ids = select(way_add.c.event_id).where(way_add.c.event_id > after)
    return list(conn.scalars(ids.order_by(way_add.c.event_id).limit(adds.SLICE)))


def _look(conn: Connection, after: int, last: int, fix: bool) -> int:
    if (pending := adds.find_pending(conn)) is None:
        return 0
    differing = adds.find_differences(conn, after, last) - pending
    if fix:
        adds.refresh(conn, differing)
    return len(differing)


def _mend_hours(conn: Connection) -> int:
    take_turn(conn)
    return hours.recount(conn)
