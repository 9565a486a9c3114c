"""A customer deleted a member, or a member a customer: the relation ends, and with it what runs for it."""

from datetime import datetime

from sqlalchemy import Connection

from scrm.callbacks.router import Callback, Router
from scrm.events import Event, publish
from scrm.profiles import store as profiles

router = Router()


@router.on("change_external_contact", "del_follow_user")
async def lost_by_customer(callback: Callback) -> None:
    """The customer deleted the member: one-way now; nothing more may be sent over it."""
    await _end(callback, "customer")


@router.on("change_external_contact", "del_external_contact")
async def lost_by_member(callback: Callback) -> None:
    """The member deleted the customer, or it was handed over (Source=DELETE_BY_TRANSFER)."""
    await _end(callback, "member")


async def _end(callback: Callback, ended_by: str) -> None:
    await callback.services.db.write(_end_and_tell, callback, ended_by, callback.services.clock.now())


def _end_and_tell(conn: Connection, callback: Callback, ended_by: str, now: datetime) -> None:
    event = callback.event
    userid, external_userid = event.text("UserID"), event.text("ExternalUserID")
    contact = profiles.ensure_contact(conn, external_userid, now=now)
    follow = profiles.find_follow_user(conn, userid, external_userid)
    if follow is not None and follow.followed_at > event.created_at and not follow.ended_by:
        return  # an old deletion that came after the customer had added the member again
    userid = follow.userid if follow is not None else userid
    profiles.end_follow_user(
        conn, userid, external_userid, contact.person_id, ended_by=ended_by, ended_at=event.created_at
    )
    lost = Event(
        name=f"contact.lost_by_{ended_by}",
        occurred_at=event.created_at,
        person_id=contact.person_id,
        external_userid=external_userid,
        userid=userid,
        facts={"source": event.text("Source")},
        once=f"contact.lost:{userid}:{external_userid}:{int(event.created_at.timestamp())}:{ended_by}",
    )
    publish(conn, [lost], now=now, correlation=callback.correlation)
