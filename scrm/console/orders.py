"""订单: everybody's orders by time, state, channel, source and amount, with what they add up to."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console import words
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.playbooks import names_of
from scrm.customer_lists import order_filters as filters
from scrm.customer_lists import order_store as store
from scrm.services import SERVICES
from web.render import render

routes = web.RouteTableDef()


@routes.get("/console/orders")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """The list as the address has it."""
    services, scope = request.app[SERVICES], request[MANAGER].scope
    narrowed, before = _narrowed(request), request.query.get("before", "")[:40]

    def look(conn: Connection) -> dict[str, Any]:
        found = store.find_page(conn, narrowed, scope, before=before)
        persons = {row.person_id for row in found.rows if row.person_id is not None}
        return {"found": found, "names": names_of(conn, persons), "channels": store.list_channels(conn)}

    return await page(
        request,
        "orders.html",
        active="orders",
        wanted=narrowed.wanted,
        narrowed=narrowed,
        states=filters.STATES,
        origins=filters.ROUTES,
        days=filters.DAYS,
        **await services.db.read(look),
    )


@routes.get("/console/orders/sums")
@for_managers
async def sums(request: web.Request) -> web.StreamResponse:
    """What they add up to, asked for when the rows are there already."""
    found = await request.app[SERVICES].db.read(store.sum_up, _narrowed(request), request[MANAGER].scope)
    return render(request, "console/orders_sums.html", sums=found, most=store.MOST_SUMMED, words=words)


def _narrowed(request: web.Request) -> filters.Narrowed:
    services = request.app[SERVICES]
    zone, lookup = services.settings.shop.zone, services.vault.lookup
    return filters.narrow(filters.read(request.query), zone, lookup, services.clock.now())
