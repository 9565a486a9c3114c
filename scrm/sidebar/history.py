"""Orders and happenings beyond those of the first page, page by page."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Invalid
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards import orders, timeline
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.places import read_place
from web.texts import _

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/timeline")
@for_members
async def show_timeline(request: web.Request) -> web.StreamResponse:
    """`?kind=` narrows, `?before=` goes on after the last line shown."""
    visit = visit_of(request)
    chosen = timeline.filter_of(request.query.get("kind", ""))
    place = read_place(request.query.get("before", ""))
    if place is not None and place[0] is None:
        raise Invalid(_("页码不对，请刷新页面。"))

    def load(conn: Connection) -> timeline.Timeline:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return timeline.load_page(conn, visit, chosen, place)  # type: ignore[arg-type]

    return page(request, "cards/timeline_rows.html", visit=visit, view=await request.app[SERVICES].db.read(load))


@routes.get("/sidebar/contacts/{external_userid}/orders")
@for_members
async def show_orders(request: web.Request) -> web.StreamResponse:
    """`?q=` looks for words, `?before=` goes on after the last order shown."""
    visit = visit_of(request)
    words = " ".join(request.query.get("q", "").split())[:60]
    place = read_place(request.query.get("before", ""))

    def load(conn: Connection) -> orders.Orders:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return orders.load_page(conn, visit, place, words)

    view = await request.app[SERVICES].db.read(load)
    return page(request, "cards/order_rows.html", visit=visit, view=view)
