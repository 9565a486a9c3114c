"""A customer deleted a member, or a member a customer: the relation ends, and with it what runs for it."""

from datetime import datetime

from sqlalchemy import Connection

from scrm.callbacks.router import Callback, Router
from scrm.events import Event, publish
from scrm.profiles import store as profiles
from scrm.transfers.takeover import is_handed_over
from scrm.wecom.events import ContactLost

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
    await callback.services.db.together(_end_many, (callback, ended_by, callback.services.clock.now()))


def _end_many(conn: Connection, ends: list[tuple[Callback, str, datetime]]) -> list[None]:
    told = [ContactLost.of(callback.event) for callback, _, _ in ends]
    contacts = profiles.ensure_contacts(conn, (event.external_userid for event in told), now=ends[0][2])
    for event, (callback, ended_by, now) in zip(told, ends, strict=True):
        _end_and_tell(conn, callback, event, contacts[event.external_userid].person_id, ended_by, now)
    return [None] * len(ends)


def _end_and_tell(
    conn: Connection, callback: Callback, event: ContactLost, person_id: int, ended_by: str, now: datetime
) -> None:
    userid, external_userid = event.userid, event.external_userid
    follow = profiles.find_follow_user(conn, userid, external_userid)
    if follow is not None and follow.followed_at > event.created_at:
        return  # an old deletion that came after the customer had added the member again
    userid = follow.userid if follow is not None else userid
    if ended_by == "member" and is_handed_over(
        conn, callback.services, userid, external_userid, event.source, at=event.created_at, now=now
    ):
        return  # a transfer of ours is done: what runs goes on with the new owner
    profiles.end_follow_user(conn, userid, external_userid, person_id, ended_by=ended_by, ended_at=event.created_at)
    lost = Event(
        name=f"contact.lost_by_{ended_by}",
        occurred_at=event.created_at,
        person_id=person_id,
        external_userid=external_userid,
        userid=userid,
        facts={"source": event.source},
        once=f"contact.lost:{userid}:{external_userid}:{int(event.created_at.timestamp())}:{ended_by}",
    )
    publish(conn, [lost], now=now, correlation=callback.correlation)
