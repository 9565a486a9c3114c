"""The nightly reconciliation: begun once, at half past three of the shop's time, by whichever process ticks first."""

from datetime import datetime, time, timedelta

import structlog
from sqlalchemy import Connection

from scrm.services import Services
from scrm.sync import runs, store

log = structlog.get_logger()

TICK_SECONDS = 60.0
BEGINS, ENDS = time(3, 30), time(7, 30)
_KEPT = timedelta(days=90)


async def tick(services: Services) -> bool:
    """Leave the night's sync as durable work; a machine that wakes after half past seven waits for the next night."""
    now = services.clock.now()
    local = now.astimezone(services.settings.shop.zone)
    if not BEGINS <= local.time() < ENDS:
        return False
    begun = await services.db.write(_begin, local.date().isoformat(), now)
    if begun:
        log.info("sync.night", night=local.date().isoformat())
    return begun


def _begin(conn: Connection, night: str, now: datetime) -> bool:
    if not store.begin_night(conn, night, now=now):
        return False
    store.forget_old_runs(conn, before=now - _KEPT)
    runs.ask(conn, now=now)
    return True
