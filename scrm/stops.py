"""What WeCom refuses until somebody has acted, kept where every process finds it, and the work that waits for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Column, Connection, Integer, String, Table, delete, select

from scrm.db import Database, UtcDateTime, metadata, upsert
from scrm.db.vault import Vault
from scrm.services import Services
from scrm.wecom.stops import Stop
from scrm.work import queue

wecom_stop = Table(
    "wecom_stop",
    metadata,
    # A keyed hash of the app and its secret: with another secret nothing is stopped.
    Column("app_hash", String(64), primary_key=True),
    # The endpoint, or empty for the whole app.
    Column("scope", String(120), primary_key=True),
    Column("errcode", Integer, nullable=False),
    Column("errmsg", String(300), nullable=False),
    Column("path", String(120), nullable=False),
    Column("since", UtcDateTime, nullable=False),
)

_REVIVED_AT_A_TIME = 500
# What WeCom was too busy for, or what did not go through for another passing reason, is tried again so much later.
AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DatabaseStops:
    """A StopStore in the database."""

    db: Database
    vault: Vault

    async def look(self, app: str) -> dict[str, Stop]:
        return await self.db.read(find_stops, self.vault.lookup(app))

    async def keep(self, app: str, stop: Stop) -> None:
        await self.db.write(keep_stop, self.vault.lookup(app), stop)

    async def lift(self, app: str, scope: str) -> None:
        await self.db.write(lift_stop, self.vault.lookup(app), scope)


def find_stops(conn: Connection, app_hash: str) -> dict[str, Stop]:
    rows = conn.execute(select(wecom_stop).where(wecom_stop.c.app_hash == app_hash).order_by(wecom_stop.c.since))
    return {row.scope: Stop(row.scope, row.errcode, row.errmsg, row.path, row.since) for row in rows}


def keep_stop(conn: Connection, app_hash: str, stop: Stop) -> None:
    values = {
        "scope": stop.scope[:120],
        "errcode": stop.errcode,
        "errmsg": stop.errmsg[:300],
        "path": stop.path[:120],
        "since": stop.since,
    }
    conn.execute(upsert(wecom_stop, conn).values(app_hash=app_hash, **values).on_conflict_do_nothing())


def lift_stop(conn: Connection, app_hash: str, scope: str) -> None:
    conn.execute(delete(wecom_stop).where(wecom_stop.c.app_hash == app_hash, wecom_stop.c.scope == scope))


async def resume(services: Services, *scopes: str) -> int:
    """Call these again, and take up the work that was held, some at a time; returns how many items go on.

    Work that another stop still holds ends where it was, without a call.
    """
    for scope in scopes:
        await services.wecom.stops.lift(scope)
    return await revive_held(services.db, services.clock.now())


async def revive_held(db: Database, now: datetime, before: datetime | None = None) -> int:
    """Everything that was held up to now; what is held again meanwhile is not tried twice."""
    newest, seen, total = await db.read(queue.newest_held), 0, 0
    following = partial(queue.oldest_held, up_to=newest, before=before, limit=_REVIVED_AT_A_TIME)
    while newest and (ids := await db.read(following, after=seen)):
        total += await db.write(queue.revive_many, ids, now=now)
        seen = ids[-1]
    return total


async def tick(services: Services) -> int:
    """Another chance for what was tried an hour ago, unless the whole app is stopped; returns how many items go on.

    One endpoint that is stopped keeps the others from nothing: its work ends where it was, without a call.
    """
    now = services.clock.now()
    before = now - AGAIN_AFTER
    if not await services.db.read(queue.has_held, before=before):
        return 0
    if "" in await services.wecom.stops.look():
        return 0
    return await revive_held(services.db, now, before)
