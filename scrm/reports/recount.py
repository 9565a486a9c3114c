"""What reports keep against a recount, a slice at a time; what differs is told, and mended if asked."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from scrm.commerce import hours
from scrm.commerce.kept import take_turn
from scrm.contact_ways.models import way_add
from scrm.db import Database, Priority
from scrm.reports import adds, buyers


@dataclass(slots=True)
class Recounted:
    """Rows of the ledger that were looked at, those that differed, and hours of sales that differed.

    Of `buyers` the row for the cohorts differed, on `days` of a first purchase their sum.
    """

    rows: int = 0
    differing: int = 0
    hours: int = 0
    buyers: int = 0
    days: int = 0

    @property
    def is_right(self) -> bool:
        return not (self.differing or self.hours or self.buyers or self.days)


async def recount_reports(db: Database, now: datetime, zone: ZoneInfo, *, fix: bool) -> Recounted:
    """News that the ticks have not followed yet are no difference."""
    found, after = Recounted(), 0
    while ids := await db.read(_next, after):
        work = (
            db.write_as(Priority.IMPORT, _look, after, ids[-1], fix) if fix else db.read(_look, after, ids[-1], False)
        )
        found.differing += await work
        found.rows += len(ids)
        after = ids[-1]
    found.hours = await (db.write_as(Priority.IMPORT, _mend_hours) if fix else db.read(hours.differing))
    after = 0
    while ids := await db.read(buyers.next_persons, after):
        if wrong := await db.read(buyers.find_differences, ids, now, zone):
            # Once more with nobody else saving orders: what only came between two looks is no difference.
            wrong = await db.write_as(Priority.IMPORT, _settle_buyers, sorted(wrong), now, zone, fix)
        found.buyers += len(wrong)
        after = ids[-1]
    days = db.write_as(Priority.IMPORT, buyers.recount_days, True) if fix else db.read(buyers.recount_days, False)
    found.days = await days
    return found


def _settle_buyers(conn: Connection, ids: list[int], now: datetime, zone: ZoneInfo, fix: bool) -> set[int]:
    take_turn(conn)
    wrong = buyers.find_differences(conn, ids, now, zone)
    if fix:
        buyers.refresh(conn, wrong, now, zone)
    return wrong


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
