"""跟进员工: who else follows the customer, since when, who talked last, and who is in charge."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import behind_door
from scrm.sop.members.owners import Follower, list_followers

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/colleagues")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    visit = visit_of(request)

    @behind_door
    def read(conn: Connection, visit: Visit) -> list[Follower]:
        return list_followers(conn, visit.person_id)

    return page(
        request, "sheets/colleagues.html", visit=visit, followers=await request.app[SERVICES].db.read(read, visit)
    )
