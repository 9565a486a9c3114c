"""等待回复、投诉: a member notes in one tap how the talk stands, and nobody is pushed anything meanwhile."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.members import marks

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/marks")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """The two rows as they stand."""
    visit = visit_of(request)

    def read(conn: Connection) -> marks.Marks:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return marks.read(conn, visit.person_id)

    found = await request.app[SERVICES].db.read(read)
    return page(request, "marks.html", visit=visit, marks=found)


@routes.post("/sidebar/contacts/{external_userid}/marks")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{mark: talk.noted, talk.answered, case.opened or case.closed}; answers with the rows anew."""
    visit = visit_of(request)
    name = str((await request.post()).get("mark", ""))

    def write(conn: Connection) -> marks.Marks:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return marks.note(conn, visit.person_id, visit.userid, visit.external_userid, name, now=visit.now)

    found = await request.app[SERVICES].db.write(write)
    return page(request, "marks.html", visit=visit, marks=found)
