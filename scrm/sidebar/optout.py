"""推销消息: what a customer says in the chat, a member notes in one tap."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.privacy.optout import set_optout
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.door import for_members, page, visit_of

routes = web.RouteTableDef()


@routes.post("/sidebar/contacts/{external_userid}/optout")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{promo: 1 or 0}; answers with the row anew."""
    visit = visit_of(request)
    no_promo = str((await request.post()).get("promo", "1")) == "1"

    def write(conn: Connection) -> bool:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        raised = set_optout(conn, visit.person_id, {"promo": no_promo}, actor=visit.userid, now=visit.now)
        return bool(raised.get("promo"))

    kept = await request.app[SERVICES].db.write(write)
    return page(request, "optout.html", visit=visit, no_promo=kept)
