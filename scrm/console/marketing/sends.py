"""发送记录: everything that went out, or should have, with the reason."""

from functools import partial

from aiohttp import web

from scrm.console import store, words
from scrm.console.door import before_of, for_managers, page, scope_of
from scrm.services import SERVICES

routes = web.RouteTableDef()


@routes.get("/console/sends")
@for_managers
async def sends(request: web.Request) -> web.StreamResponse:
    kind, outcome = request.query.get("kind", ""), request.query.get("outcome", "")
    kind = kind if kind in words.SEND_KINDS else ""
    outcome = outcome if outcome in words.SEND_OUTCOMES else ""
    look = partial(store.list_sends, kind=kind, outcome=outcome, before=before_of(request), scope=scope_of(request))
    found = await request.app[SERVICES].db.read(look)
    return await page(request, "sends.html", active="sends", kind=kind, outcome=outcome, found=found)
