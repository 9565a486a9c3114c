"""Customers of members who have left, as WeCom lists them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from scrm import events
from scrm.db import upsert
from scrm.profiles.models import external_contact
from scrm.transfers.models import unassigned_contact
from scrm.wecom.transfers import Unassigned

# Who left longer ago was there before we looked.
_NEWS = timedelta(days=3)


def save_unassigned(conn: Connection, page: Sequence[Unassigned], *, now: datetime) -> None:
    for one in page:
        values = {"dimission_at": one.dimission_at, "seen_at": now}
        conn.execute(
            upsert(unassigned_contact, conn)
            .values(handover_userid=one.handover_userid, external_userid=one.external_userid, **values)
            .on_conflict_do_update(index_elements=["handover_userid", "external_userid"], set_=values)
        )
    _tell_left(conn, page, now)


def _tell_left(conn: Connection, page: Sequence[Unassigned], now: datetime) -> None:
    """Each customer of a member who has left hears of it once; of members who left long ago nobody does any more."""
    wanted = {one.external_userid for one in page}
    known = select(external_contact.c.external_userid, external_contact.c.person_id).where(
        external_contact.c.external_userid.in_(wanted)
    )
    persons = {row.external_userid: row.person_id for row in conn.execute(known)}
    told = [
        events.Event(
            name="staff.left",
            occurred_at=one.dimission_at or now,
            person_id=persons[one.external_userid],
            external_userid=one.external_userid,
            userid=one.handover_userid,
            key=one.handover_userid,
            facts={} if one.dimission_at is not None and one.dimission_at >= now - _NEWS else {"historic": True},
            once=f"staff.left:{one.handover_userid}:{one.external_userid}:{_second(one.dimission_at)}",
        )
        for one in page
        if one.external_userid in persons
    ]
    events.publish(conn, told, now=now)


def _second(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp())


def forget_unseen(conn: Connection, before: datetime) -> None:
    """After the whole list was read: who was not in it has been taken over."""
    conn.execute(delete(unassigned_contact).where(unassigned_contact.c.seen_at < before))
