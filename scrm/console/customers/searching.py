"""The search box in the frame: customers and orders as somebody types, for whoever may see customers."""

from aiohttp import web

from scrm.console import words
from scrm.console.door import MANAGER, for_managers
from scrm.customer_lists.search import search
from scrm.profiles.phones import normalise_phone
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()


@routes.get("/console/search")
@for_managers
async def find(request: web.Request) -> web.StreamResponse:
    """The small list below the box; without words it is empty. Enter, with nothing chosen, opens the whole list."""
    services, text = request.app[SERVICES], request.query.get("q", "").strip()[:80]
    if "HX-Request" not in request.headers:
        raise web.HTTPFound(request.rel_url.with_path("/console/customers").with_query({"q": text} if text else {}))
    phone = normalise_phone(text)
    lookup = services.vault.lookup(phone) if phone else ""
    hits = await services.db.read(search, text, lookup, request[MANAGER].scope)
    return render(request, "console/search_hits.html", hits=hits, text=text, words=words, now=services.clock.now())
