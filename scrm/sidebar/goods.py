"""Order and product cards: one tap sends what a customer asks about; the ledger knows before the client does."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.commerce import cards, lookup
from scrm.commerce.cards import Links
from scrm.errors import NotFound
from scrm.events import Event, record
from scrm.profiles.store import access_contact
from scrm.services import SERVICES, Services
from scrm.sidebar import chat_sends
from scrm.sidebar.acts import fields_of
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, visit_of
from web.texts import _

routes = web.RouteTableDef()

_CARD = r"/sidebar/contacts/{external_userid}/cards/{kind:orders|goods}/{order_id:\d{1,18}}"


@routes.get(_CARD)
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """{messages}: to be copied where there is no chat; `?line=` which goods."""
    services, visit = request.app[SERVICES], visit_of(request)
    message, _title = await services.db.read(_compose, services, visit, _asked(request, request.query))
    return web.json_response({"messages": [message]}, headers={"Cache-Control": "no-store"})


@routes.post(f"{_CARD}/release")
@for_members
async def release(request: web.Request) -> web.StreamResponse:
    """{line?, once?, again?} -> {messages, once}: the ledger has the intent before the client gets the message."""
    services, visit = request.app[SERVICES], visit_of(request)
    fields = await fields_of(request)
    asked = _asked(request, fields)

    def write(conn: Connection) -> tuple[dict[str, Any], str]:
        message, title = _compose(conn, services, visit, asked)
        once = chat_sends.once_of(f"card:{asked[0]}:{asked[1]}:", fields)
        content = {"messages": [message], "card": asked[0], "title": title}
        chat_sends.begin(conn, visit, once, content, is_unheard=fields.get("again"))
        return message, once

    message, once = await services.db.write(write)
    return web.json_response({"messages": [message], "once": once}, headers={"Cache-Control": "no-store"})


@routes.post(f"{_CARD}/sending")
@for_members
async def note_sending(request: web.Request) -> web.StreamResponse:
    """{once, ok, error?}: what the client said; told twice it counts once."""
    fields = await fields_of(request)
    kind, order_id, _line = _asked(request, {})
    await request.app[SERVICES].db.write(_note, visit_of(request), f"card:{kind}:{order_id}:", fields)
    return web.json_response({})


def _asked(request: web.Request, fields: Mapping[str, Any]) -> tuple[str, int, str]:
    """orders or goods, which order, which line of it."""
    return request.match_info["kind"], int(request.match_info["order_id"]), str(fields.get("line") or "")[:120]


def _compose(
    conn: Connection, services: Services, visit: Visit, asked: tuple[str, int, str]
) -> tuple[dict[str, Any], str]:
    """The message, and what it is called in the timeline; only of this customer's own orders."""
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    kind, order_id, line_key = asked
    order = lookup.find(conn, order_id)
    if order is None or order.person_id != visit.person_id:
        raise NotFound(_("这位客户没有这个订单，请刷新页面。"))
    lines, links = lookup.list_lines(conn, order_id), _links(services)
    if kind == "orders":
        message = cards.order_message(order, lines, lookup.list_parcels(conn, order_id), links)
        return message, order.order_no
    line = _line_of(lines, line_key)
    return cards.goods_message(order, line, links, visit.zone), line.title


def _line_of(lines: list[Row[Any]], key: str) -> Row[Any]:
    for line in lines:
        if line.line_key == key:
            return line
    raise NotFound(_("订单里没有这件商品，请刷新页面。"))


def _links(services: Services) -> Links:
    settings = services.settings.cards
    return Links(settings.order, settings.product, settings.cover)


def _note(conn: Connection, visit: Visit, beginning: str, fields: Mapping[str, Any]) -> None:
    row = chat_sends.end(conn, visit, beginning, fields)
    if row is None:
        return
    facts = {"card": row.content.get("card"), "title": row.content.get("title", "")}
    told = Event(
        "card.sent", visit.now, visit.person_id, visit.external_userid, visit.userid, facts=facts, once=row.once
    )
    record(conn, [told], now=visit.now)
