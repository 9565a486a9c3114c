"""Customer groups: what the sync of their own room found and no callback ever told goes on the board."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from scrm.group_chats import list_store as group_list_store
from scrm.group_chats import sync
from scrm.services import Services
from scrm.sync import store
from scrm.sync.store import Missed
from scrm.work.progress import Progress

SOURCE = "groups"
# A callback may still be on its way.
_GRACE = timedelta(minutes=10)


async def run(services: Services, progress: Progress, full: bool) -> None:
    """See scrm.group_chats.sync; also reports what fetches between two syncs have found."""
    await sync.run(services, progress, full)
    while await services.db.write(_report, services.clock.now()):
        pass


def _report(conn: Connection, now: datetime) -> int:
    rows = group_list_store.take_missed(conn, before=now - _GRACE)
    for row in rows:
        missed = Missed(
            name=f"group.{row.kind}",
            source=SOURCE,
            userid=row.owner,
            external_userid=row.userid,
            person_id=row.person_id,
            # WeCom tells when somebody joined, never when somebody left.
            happened_at=row.at if row.kind == "joined" else None,
            facts={"chat_id": row.chat_id, "title": row.group_name},
        )
        store.note_missed(conn, missed, now=now)
    return len(rows)
