"""A live stream gets another time: everybody who had booked it hears of it once, and is reminded at the new time."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from scrm.events import Event, event, publish
from scrm.services import Services
from scrm.work import queue

BOOKED = "live.booked"
MOVED = "live.moved"
KIND = "sop.live_moved"
PAGE = 500


def move_live(conn: Connection, live_id: str, starts_at: str, facts: dict[str, Any], *, now: datetime) -> None:
    """Leave it to durable work to tell the bookers; told again, or while it is under way, it is told once."""
    payload = {"live_id": live_id, "starts_at": starts_at, "facts": facts, "after": 0}
    queue.add(conn, queue.Item("bulk", KIND, payload, dedupe_key=f"{KIND}:{live_id}:{starts_at}"[:200]), now=now)


async def run_moved(services: Services, item: queue.Claimed) -> None:
    """Work of kind sop.live_moved: page by page; stopped in the middle it begins anew, and nobody is told twice."""
    after: int | None = int(item.payload["after"])
    while after is not None:
        after = await services.db.write(_tell_page, dict(item.payload), after, services.clock.now())


def _tell_page(conn: Connection, moved: dict[str, Any], after: int, now: datetime) -> int | None:
    live_id, starts_at = str(moved["live_id"]), str(moved["starts_at"])
    mine = event.c.name == BOOKED, event.c.key == live_id, event.c.person_id > after
    persons = list(
        conn.scalars(select(event.c.person_id).where(*mine).distinct().order_by(event.c.person_id).limit(PAGE))
    )
    # Another time is another live: its key tells the runs apart.
    facts = {**moved["facts"], "live_id": f"{live_id}@{starts_at}", "starts_at": starts_at}
    told = [
        Event(MOVED, now, person_id, key=live_id, facts=facts, once=f"{MOVED}:{live_id}:{starts_at}:{person_id}"[:200])
        for person_id in persons
    ]
    publish(conn, told, now=now)
    return persons[-1] if len(persons) == PAGE else None
