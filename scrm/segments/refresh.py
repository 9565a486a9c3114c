"""Who is in the dynamic segments, computed again and again: found by readers in slices, written in small pieces."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Connection, Row

from scrm.clock import monotonic
from scrm.db import Priority
from scrm.profiles.conditions.tree import find_missing
from scrm.segments import store
from scrm.services import Services
from scrm.work import queue

KIND = "segment.refresh"
TICK_SECONDS = 15.0
# Persons compared by one query, and rows written in one transaction.
SLICE = 100_000
PIECE = 500
# A segment takes at most this part of a reader's time.
_SHARE = 20
_RETRY = timedelta(minutes=5)

log = structlog.get_logger()


class Counts(NamedTuple):
    """How many became members, and how many no longer are."""

    entered: int
    left: int


async def tick(services: Services) -> None:
    """Give work for each segment whose time has come."""
    now = services.clock.now()
    if due := await services.db.read(store.list_due, now):
        await services.db.write(_give_work, due, now)


def _give_work(conn: Connection, keys: list[str], now: datetime) -> None:
    for key in keys:
        item = queue.Item("bulk", KIND, {"key": key}, order_key=f"segment:{key}", dedupe_key=f"segment:{key}")
        queue.add(conn, item, now=now)
    store.put_off(conn, keys, now + _RETRY)


async def run_refresh(services: Services, item: queue.Claimed) -> None:
    """Work of kind "segment.refresh", payload {"key"}; begun again it goes on with what is still different."""
    await refresh(services, str(item.payload["key"]))


async def refresh(services: Services, key: str) -> Counts:
    """Compute one segment now; returns how many entered and left.

    What it finds first after a change of the condition is no news. A condition about something deleted changes
    nothing and is noted. Raises NotFound.
    """
    began, now = monotonic(), services.clock.now()
    row = await services.db.read(store.get_segment, key)
    if row.kind != "dynamic":
        await services.db.write(store.count_members, key)
        return Counts(0, 0)
    if problems := await services.db.read(find_missing, row.condition):
        text = "；".join(problem.text for problem in problems)
        await services.db.write(store.note_problem, row, text, refresh_at=now + _RETRY)
        log.warning("segment.broken", segment=key, reason=text)
        return Counts(0, 0)
    counts = await _apply_all(services, row)
    pause = max(timedelta(seconds=row.refresh_seconds), timedelta(seconds=(monotonic() - began) * _SHARE))
    now = services.clock.now()
    await services.db.write(_finish, services, row, counts, now + pause)
    log.info("segment.computed", segment=key, entered=counts.entered, left=counts.left)
    return counts


def _finish(conn: Connection, services: Services, row: Row[Any], counts: Counts, refresh_at: datetime) -> None:
    now = services.clock.now()
    is_current = store.finish(conn, row, refresh_at=refresh_at, now=now)
    # Who is found first was not on the way in that day.
    entered, left = counts if row.computed_at is not None else (0, 0)
    if is_current:
        day = now.astimezone(services.settings.shop.zone).date()
        store.note_day(conn, row.key, day, entered=entered, left=left)


async def _apply_all(services: Services, row: Row[Any]) -> Counts:
    entered = left = 0
    last = await services.db.read(store.last_person)
    for after in range(0, last, SLICE):
        now = services.clock.now()
        changes = await services.db.read(store.find_changes, row, after, after + SLICE, now)
        for act, persons in ((_enter, changes.entered), (_leave, changes.left)):
            for start in range(0, len(persons), PIECE):
                piece = persons[start : start + PIECE]
                if not await services.db.write_as(Priority.IMPORT, act, row, piece, now):
                    return Counts(entered, left)
        entered, left = entered + len(changes.entered), left + len(changes.left)
    return Counts(entered, left)


def _enter(conn: Connection, row: Row[Any], piece: Sequence[int], now: datetime) -> bool:
    """False when the segment is no longer what was compared."""
    if not store.is_current(conn, row):
        return False
    store.enter(conn, row, piece, tells=row.computed_at is not None or row.tells_first, now=now)
    return True


def _leave(conn: Connection, row: Row[Any], piece: Sequence[int], now: datetime) -> bool:
    if not store.is_current(conn, row):
        return False
    store.leave(conn, row, piece, tells=row.computed_at is not None, now=now)
    return True
