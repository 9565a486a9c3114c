"""今日: what happened today, and what needs a hand."""

from aiohttp import web

from scrm.console.door import opened, page

routes = web.RouteTableDef()


@routes.get("/console/")
@opened
async def today(request: web.Request) -> web.StreamResponse:
    return page(request, "today.html", active="today")
