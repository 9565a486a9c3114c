"""What WeCom tells of acquisition links: warnings of the balance, links that end, steps of customers (doc 97299)."""

from datetime import UTC, datetime

from sqlalchemy import Connection

from scrm.callbacks.router import Callback, Router
from scrm.contact_ways import acquisition
from scrm.events import Event, publish
from scrm.profiles import store as profiles
from scrm.wecom.acquisition import LinkCustomer
from scrm.work import queue

router = Router()

_WARNINGS = ("balance_low", "balance_exhausted", "quota_expire_soon")


@router.on("customer_acquisition", "balance_low")
@router.on("customer_acquisition", "balance_exhausted")
@router.on("customer_acquisition", "balance_increased")
@router.on("customer_acquisition", "quota_expire_soon")
async def balance_changed(callback: Callback) -> None:
    """The warning is shown at once, the figure itself is asked for: events may come late and out of order."""
    await callback.services.db.write(_warn, callback, callback.services.clock.now())


def _warn(conn: Connection, callback: Callback, now: datetime) -> None:
    told = callback.event
    acquisition.note_warning(conn, told.change_type if told.change_type in _WARNINGS else "", now)
    queue.add(conn, acquisition.quota_work(now), now=now)
    warned = Event(
        name=f"acquisition.{told.change_type}",
        occurred_at=told.created_at,
        facts={"expire_at": _epoch(told.text("ExpireTime")), "uses": told.text("ExpireQuotaNum")},
        once=f"acquisition:{told.change_type}:{int(told.created_at.timestamp())}",
    )
    publish(conn, [warned], now=now, correlation=callback.correlation)


def _epoch(text: str) -> str:
    return datetime.fromtimestamp(int(text), UTC).isoformat() if text.isascii() and text.isdigit() else ""


@router.on("customer_acquisition", "link_unavailable")
async def link_unavailable(callback: Callback) -> None:
    """Nobody of the link can be added any more: customers are turned away until the members change."""
    await _condition(callback, "unavailable")


@router.on("customer_acquisition", "delete_link")
async def link_deleted(callback: Callback) -> None:
    """Deleted in WeCom's console or client."""
    await _condition(callback, "deleted")


async def _condition(callback: Callback, condition: str) -> None:
    services = callback.services
    link_id = callback.event.text("LinkId")
    if link_id:
        await services.db.write(acquisition.note_condition, link_id, condition, services.clock.now())


@router.on("customer_acquisition", "open_profile")
@router.on("customer_acquisition", "friend_request")
@router.on("customer_acquisition", "message_from_customer")
async def step_made(callback: Callback) -> None:
    """Counted by day, once for each callback: WeCom names nobody at these steps."""
    await callback.services.db.write(_count, callback, callback.services.clock.now())


def _count(conn: Connection, callback: Callback, now: datetime) -> None:
    told = callback.event
    link_id, state = told.text("LinkId"), told.text("State")
    step = Event(
        name=f"acquisition.{told.change_type}",
        occurred_at=told.created_at,
        facts={"link_id": link_id, "state": state},
        once=f"acquisition:{callback.digest.hex()}",
    )
    if publish(conn, [step], now=now, correlation=callback.correlation):
        day = told.created_at.astimezone(callback.services.settings.shop.zone).date().isoformat()
        acquisition.count_step(conn, link_id, state, day, told.change_type[:24])


@router.on("customer_acquisition", "customer_start_chat")
async def chat_started(callback: Callback) -> None:
    """The customer's first message: of interest to the timeline, and to what a link is worth."""
    await callback.services.db.write(_start_chat, callback, callback.services.clock.now())


def _start_chat(conn: Connection, callback: Callback, now: datetime) -> None:
    told = callback.event
    userid, external_userid, link_id = told.text("UserID"), told.text("ExternalUserID"), told.text("LinkId")
    if not (userid and external_userid):
        return
    customer = LinkCustomer(external_userid, userid, 1, told.text("State"))
    acquisition.save_customer(conn, link_id, customer, now, started_chat_at=told.created_at)
    contact = profiles.ensure_contact(conn, external_userid, now=now)
    started = Event(
        name="contact.chat_started",
        occurred_at=told.created_at,
        person_id=contact.person_id,
        external_userid=external_userid,
        userid=userid,
        facts={"link_id": link_id},
        once=f"chat_started:{link_id}:{userid}:{external_userid}",
    )
    publish(conn, [started], now=now, correlation=callback.correlation)


@router.on("customer_acquisition", "del_follow_user")
async def lost_by_link(callback: Callback) -> None:
    """Only third-party pages name it; the loss itself comes as change_external_contact, and is acted on there."""
