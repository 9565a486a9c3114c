"""Every console route, in one list."""

from aiohttp import web

from scrm.console import contact_ways, customers, playbooks, repairs, sends, today
from scrm.console.door import for_managers
from scrm.http import sign_out


async def _enter(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/console/")


@for_managers
async def _leave(request: web.Request) -> web.StreamResponse:
    response = web.HTTPSeeOther("/login?next=/console/")
    await sign_out(request, response)
    raise response


routes: list[web.AbstractRouteDef] = [
    web.get("/console", _enter),
    web.post("/console/logout", _leave),
    *today.routes,
    *customers.routes,
    *contact_ways.routes,
    *playbooks.routes,
    *sends.routes,
    *repairs.routes,
]
