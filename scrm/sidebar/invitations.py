"""老带新 beside the chat: who brought this customer, whom he brought, and one tap that sends him his own page."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Conflict
from scrm.events import Event, record
from scrm.inviting import ensure_code
from scrm.profiles.store import access_contact
from scrm.referrals import addresses, campaigns, lists
from scrm.referrals.knowing import is_erased, is_stopped
from scrm.services import SERVICES, Services
from scrm.sidebar import chat_sends
from scrm.sidebar.acts import fields_of
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from web.texts import _

routes = web.RouteTableDef()

_CARD = "/sidebar/contacts/{external_userid}/cards/invitation"
_ONCE = "card:invitation:"


@routes.get("/sidebar/contacts/{external_userid}/invitation")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """Asked for when a member opens the row."""
    visit = visit_of(request)

    def look(conn: Connection) -> Mapping[str, Any]:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        came, brought = lists.of_person(conn, visit.person_id)
        return {"came": came, "brought": brought, "problem": _problem(conn, visit), "states": lists.STATES}

    return page(request, "invitation.html", visit=visit, **await request.app[SERVICES].db.read(look))


@routes.get(_CARD)
@for_members
async def show_card(request: web.Request) -> web.StreamResponse:
    """{messages}: to be copied where there is no chat."""
    message = await request.app[SERVICES].db.write(_compose, request.app[SERVICES], visit_of(request))
    return web.json_response({"messages": [message]}, headers={"Cache-Control": "no-store"})


@routes.post(f"{_CARD}/release")
@for_members
async def release(request: web.Request) -> web.StreamResponse:
    """{once?, again?} -> {messages, once}: his code is made and the intent kept before the client gets the message."""
    services, visit, fields = request.app[SERVICES], visit_of(request), await fields_of(request)
    once = chat_sends.once_of(_ONCE, fields)

    def write(conn: Connection) -> dict[str, Any]:
        message = _compose(conn, services, visit)
        content = {"messages": [message], "card": "invitation", "title": message["news"]["title"]}
        chat_sends.begin(conn, visit, once, content, is_unheard=fields.get("again"))
        return message

    message = await services.db.write(write)
    return web.json_response({"messages": [message], "once": once}, headers={"Cache-Control": "no-store"})


@routes.post(f"{_CARD}/sending")
@for_members
async def note_sending(request: web.Request) -> web.StreamResponse:
    """{once, ok, error?}: what the client said; told twice it counts once."""
    visit, fields = visit_of(request), await fields_of(request)

    def note(conn: Connection) -> None:
        row = chat_sends.end(conn, visit, _ONCE, fields)
        if row is not None:
            facts = {"card": "invitation", "title": row.content.get("title", "")}
            who = visit.person_id, visit.external_userid, visit.userid
            record(conn, [Event("card.sent", visit.now, *who, facts=facts, once=row.once)], now=visit.now)

    await request.app[SERVICES].db.write(note)
    return web.json_response({})


def _problem(conn: Connection, visit: Visit) -> str:
    """Why nobody who came by this customer's code would count; '' when it may be sent."""
    if campaigns.find_running(conn, visit.now) is None:
        return _("没有进行中的老带新活动。")
    if is_stopped(conn, visit.person_id) or is_erased(conn, visit.person_id):
        return _("他在停发名单里，介绍的朋友不算。")
    return ""


def _compose(conn: Connection, services: Services, visit: Visit) -> dict[str, Any]:
    """The message, when the code behind it is there or on its way; raises Conflict when nobody could be added by it."""
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    campaign = campaigns.find_running(conn, visit.now)
    if (problem := _problem(conn, visit)) or campaign is None:
        raise Conflict(problem)
    way = ensure_code(conn, visit.person_id, now=visit.now)
    if way is None or way.problem:
        raise Conflict(_("他的专属码现在做不出来，请联系管理员看渠道活码。"))
    address = f"{services.settings.server.public_url}{addresses.path_of(services.vault, visit.person_id)}"
    return addresses.card_of(campaign.title, address)
