"""Already told: asked for by whatever is about to be sent."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards import told
from scrm.sidebar.door import for_members, page, visit_of

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/told")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """`?task=` is the task that would be sent; without it a send by hand."""
    visit = visit_of(request)
    text = request.query.get("task", "")
    task_id = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def load(conn: Connection) -> told.Told:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return told.load(conn, visit, task_id)

    return page(request, "told.html", visit=visit, view=await request.app[SERVICES].db.read(load))
