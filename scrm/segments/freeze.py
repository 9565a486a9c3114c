"""A list of who is in a segment now: it stays as it is, whatever becomes of the condition."""

from datetime import datetime

import structlog
from sqlalchemy import Connection

from scrm.db import Priority
from scrm.errors import NotFound
from scrm.segments import audience, store
from scrm.services import Services
from scrm.work import queue

KIND = "segment.freeze"
# Persons found by one query, and rows written in one transaction.
SLICE = 5_000
PIECE = 500

_GONE = "原来的人群包已删除，名单里只有删除前已冻结的人。请删掉这份名单，换一个人群包再冻结。"

log = structlog.get_logger()


def ask(conn: Connection, key: str, frozen: store.Draft, *, now: datetime, by: str) -> None:
    """Make the empty list at once, and give the work of filling it. Raises what `save_segment` raises."""
    row = store.get_segment(conn, key)
    store.save_segment(conn, frozen, now=now, by=by)
    payload = {"key": frozen.key, "of": row.key}
    item = queue.Item("bulk", KIND, payload, order_key=f"segment:{frozen.key}", dedupe_key=f"freeze:{frozen.key}")
    queue.add(conn, item, now=now)


async def run_freeze(services: Services, item: queue.Claimed) -> None:
    """Work of kind "segment.freeze", payload {"key", "of"}; begun again it goes on. Nobody has entered: it is a copy."""
    key, of = str(item.payload["key"]), str(item.payload["of"])
    try:
        await _fill(services, key, of)
    except NotFound:
        # One of the two was deleted; a list that is left says so.
        await services.db.write(store.note_list, key, _GONE)
    members = await services.db.write(store.finish_list, key, now=services.clock.now())
    log.info("segment.frozen", segment=key, of=of, members=members)


async def _fill(services: Services, key: str, of: str) -> None:
    now = services.clock.now()
    row = await services.db.read(store.get_segment, key)
    after = 0
    while ids := await services.db.read(_next, of, after, now):
        for start in range(0, len(ids), PIECE):
            piece = ids[start : start + PIECE]
            await services.db.write_as(Priority.IMPORT, store.enter, row, piece, tells=False, now=now)
        after = ids[-1]


def _next(conn: Connection, of: str, after: int, now: datetime) -> list[int]:
    row = store.get_segment(conn, of)
    if row.kind == "static":
        return store.list_members(conn, of, after=after, limit=SLICE)
    return audience.list_ids(conn, row.condition, now, after=after, limit=SLICE)
