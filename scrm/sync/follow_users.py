"""Members with the 客户联系 function: whose customers there are to read, and since when we are told of them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from scrm.db import upsert
from scrm.profiles.models import customer_contact_member
from scrm.services import Services
from scrm.sync import store
from scrm.sync.patience import patiently
from scrm.work.progress import Progress

_table = customer_contact_member


async def run(services: Services, progress: Progress, full: bool) -> None:
    """The source's run (scrm.sync.sources)."""
    userids = await refresh(services)
    progress.expect(len(userids))
    progress.advance(len(userids))


async def refresh(services: Services) -> Sequence[str]:
    """Their userids as WeCom names them now (doc 92571)."""
    userids = await patiently(services.clock, services.wecom.contacts.get_follow_user_list)
    if await services.db.read(_differs, userids):
        await services.db.write(_keep, userids, services.clock.now())
    return userids


def _differs(conn: Connection, userids: Sequence[str]) -> bool:
    known = set(conn.scalars(select(_table.c.userid).where(_table.c.ended_at.is_(None))))
    return known != set(userids)


def _keep(conn: Connection, userids: Sequence[str], now: datetime) -> None:
    """Whoever is new brings customers from before; the first list ever only those from before the first callback."""
    is_first = conn.execute(select(func.count()).select_from(_table)).scalar_one() == 0
    since = (store.first_callback_at(conn) if is_first else None) or now
    for userid in userids:
        row = {"userid": userid, "watched_since": since}
        comes_back = {"watched_since": now, "ended_at": None}
        conn.execute(
            upsert(_table, conn)
            .values(row)
            .on_conflict_do_update(index_elements=["userid"], set_=comes_back, where=_table.c.ended_at.is_not(None))
        )
    conn.execute(
        update(_table).where(_table.c.userid.not_in(list(userids)), _table.c.ended_at.is_(None)).values(ended_at=now)
    )


def watched_since(conn: Connection) -> dict[str, datetime]:
    """By case-folded userid: what a customer did before that, no callback could have told us."""
    rows = conn.execute(select(_table.c.userid, _table.c.watched_since))
    return {row.userid.lower(): row.watched_since for row in rows}
