"""A customer added a member: greet within 20 s, know who it is, tell the playbooks."""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy import Connection

from scrm.callbacks.handlers.refresh import ARCHIVING_AGREED, learn_contact
from scrm.callbacks.metrics import WELCOME_SECONDS, WELCOMES
from scrm.callbacks.router import Callback, Router
from scrm.profiles.store import Details
from scrm.services import Services
from scrm.sop import welcome
from scrm.sop.shelf import playbooks_of, shop_of
from scrm.transfers import takeover
from scrm.wecom.errors import WeComError
from scrm.wecom.events import ContactAdded

log = structlog.get_logger()
router = Router()


@router.on("change_external_contact", "add_external_contact")
@router.on("change_external_contact", "add_half_external_contact")
@router.on("change_external_contact", "msg_audit_approved")
async def contact_added(callback: Callback) -> None:
    """The welcome first; the contact's details are asked for beside it and may come late."""
    added = _added(callback)
    services = callback.services
    asked = _ask_details(services, added) if added.welcome_code else None
    try:
        prepared = await services.db.together(_prepare_many, (added, services))
        if prepared is None:
            return  # taken over from another member: no second welcome, and nothing begins anew
        if not prepared.is_settled:
            await _greet(services, added, prepared, asked)
        details = await _details(asked)
    finally:
        if asked is not None:
            asked.cancel()
    await learn_contact(callback, _tells(callback, prepared), prepared.facts, details)


def _tells(callback: Callback, prepared: welcome.Prepared) -> str:
    """Consent comes to a relation that began with an add of its own."""
    if callback.event.change_type == "msg_audit_approved":
        return ARCHIVING_AGREED
    return prepared.tells


def _added(callback: Callback) -> welcome.Added:
    event = ContactAdded.of(callback.event)
    return welcome.Added(
        userid=event.userid,
        external_userid=event.external_userid,
        state=event.state,
        welcome_code=event.welcome_code,
        is_half=event.is_half,
        created_at=event.created_at,
        received_at=callback.received_at,
        digest=callback.digest,
        correlation=callback.correlation,
        is_consent=callback.event.change_type == "msg_audit_approved",
        may_be_copy=any(app.token.get_secret_value() for app in callback.services.settings.apps.values()),
    )


def _ask_details(services: Services, added: welcome.Added) -> "asyncio.Task[Details] | None":
    """Only while WeCom has room for it: in a storm of adds the names may wait, the welcomes may not."""
    if not services.wecom.has_room("externalcontact/get"):
        return None

    async def ask() -> Details:
        answer = await services.wecom.contacts.get_external_contact(added.external_userid)
        return Details(answer["external_contact"], answer["follow_user"])

    return asyncio.create_task(ask())


def _prepare_many(conn: Connection, adds: list[tuple[welcome.Added, Services]]) -> list[welcome.Prepared | None]:
    """None stands for a takeover, which is completed here."""
    services, now = adds[0][1], adds[0][1].clock.now()
    taken = {added: _handed(added) for added, _ in adds}
    takeovers = takeover.find_takeovers(conn, taken.values())
    greeted = []
    for added, _ in adds:
        if (added.userid, added.external_userid) in takeovers and not added.state:
            takeover.take_over(conn, services, taken[added], now=now)
        else:
            greeted.append(added)
    if not greeted:
        return [None] * len(adds)
    playbooks = list(playbooks_of(services).current.values())
    prepared = dict(
        zip(greeted, welcome.prepare_many(conn, greeted, playbooks, shop_of(services), now=now), strict=True)
    )
    return [prepared.get(added) for added, _ in adds]


def _handed(added: welcome.Added) -> takeover.Added:
    return takeover.Added(added.userid, added.external_userid, added.state, added.created_at)


async def _greet(
    services: Services, added: welcome.Added, prepared: welcome.Prepared, asked: "asyncio.Task[Details] | None"
) -> None:
    nickname = await _nickname(asked, services.settings.wecom.name_budget_ms / 1000)
    message = welcome.compose(prepared, nickname, shop_of(services), now=services.clock.now())
    outcome = await welcome.deliver(services.wecom, services.clock, added, message, prepared)
    now = services.clock.now()
    WELCOMES.labels(outcome.outcome).inc()
    WELCOME_SECONDS.observe((now - added.received_at).total_seconds())
    log.info(
        "welcome.settled",
        outcome=outcome.outcome,
        errcode=outcome.errcode,
        ms=round((now - added.received_at).total_seconds() * 1000),
    )
    await services.db.together(welcome.record_many, welcome.Settled(outcome, added, prepared, now))


async def _nickname(asked: "asyncio.Task[Details] | None", budget: float) -> str:
    """The contact's name when it comes within the budget (seconds), else ''."""
    if asked is None:
        return ""
    try:
        details = await asyncio.wait_for(asyncio.shield(asked), budget)
    except (TimeoutError, WeComError):
        return ""
    return str(details.external_contact.get("name", ""))


async def _details(asked: "asyncio.Task[Details] | None") -> Details | None:
    """What was asked for beside the welcome, if it has come by now or comes soon; else it is fetched later."""
    if asked is None:
        return None
    with suppress(TimeoutError, WeComError):
        return await asyncio.wait_for(asyncio.shield(asked), 1.0)
    return None
