"""A customer was handed to another member, but refused or could not be taken over: it is told on the timeline."""

from datetime import datetime

from sqlalchemy import Connection

from scrm.callbacks.router import Callback, Router
from scrm.events import Event, publish
from scrm.profiles import store as profiles
from scrm.transfers import takeover
from scrm.wecom.events import TransferFailed

router = Router()


@router.on("change_external_contact", "transfer_fail")
async def transfer_failed(callback: Callback) -> None:
    """No relation has begun or ended: the member named is the one who should have taken over."""
    await callback.services.db.write(_tell, callback, callback.services.clock.now())


def _tell(conn: Connection, callback: Callback, now: datetime) -> None:
    event = TransferFailed.of(callback.event)
    if takeover.fail(conn, event.userid, event.external_userid, event.fail_reason, now=now):
        return  # a transfer that was begun here: it has its own words
    contact = profiles.ensure_contact(conn, event.external_userid, now=now)
    failed = Event(
        name="contact.transfer_failed",
        occurred_at=event.created_at,
        person_id=contact.person_id,
        external_userid=event.external_userid,
        userid=event.userid,
        facts={"reason": event.fail_reason},
        once=f"contact.transfer_failed:{event.userid}:{event.external_userid}:{int(event.created_at.timestamp())}",
    )
    publish(conn, [failed], now=now, correlation=callback.correlation)
