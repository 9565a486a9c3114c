"""Durable work: read the list of customers whose members have left (doc 92124)."""

from datetime import datetime

from sqlalchemy import Connection

from scrm.services import Services
from scrm.transfers import left_store
from scrm.transfers.begin import UNASSIGNED
from scrm.work import queue


async def run_unassigned(services: Services, item: queue.Claimed) -> None:
    """Work of kind transfer.unassigned: the whole list, page by page; stopped in the middle it is read again."""
    began_at = services.clock.now()
    async for page in services.wecom.transfers.get_unassigned_list():
        for start in range(0, len(page), 200):
            await services.db.write(left_store.save_unassigned, page[start : start + 200], now=services.clock.now())
    await services.db.write(left_store.forget_unseen, began_at)


def ask_anew(conn: Connection, *, now: datetime) -> None:
    """Read the list soon, once however often it is asked for."""
    queue.add(conn, queue.Item("bulk", UNASSIGNED, dedupe_key=UNASSIGNED), now=now)
