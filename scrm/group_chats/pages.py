"""GET /g/{token}: the customer's page of a 群活码, with the code of the group whose turn it is."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.group_chats import code_store
from scrm.group_chats.join_codes import choose_slot
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()


@routes.get("/g/{token}")
async def show_group_code(request: web.Request) -> web.Response:
    """Chosen anew at each look, so that the address never changes and a full group is never shown."""
    services = request.app[SERVICES]
    token = request.match_info["token"]
    found = None
    if token.isascii() and token.isprintable() and len(token) <= 40:
        found = await services.db.read(_look, token)
    if found is None:
        return _hidden(render(request, "customer/group.html", status=404, code=None, slot=None))
    code, slots = found
    slot = choose_slot(slots, code.most_members, services.clock.now(), auto_create_room=code.auto_create_room)
    return _hidden(render(request, "customer/group.html", code=code, slot=slot))


def _look(conn: Connection, token: str) -> tuple[Any, list[Any]] | None:
    code = code_store.find_code_by_token(conn, token)
    return None if code is None else (code, code_store.list_slots(conn, [code.state]))


def _hidden(page: web.Response) -> web.Response:
    page.headers["Cache-Control"] = "no-store"
    page.headers["X-Robots-Tag"] = "noindex, nofollow"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page
