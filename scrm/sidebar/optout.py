"""免打扰: what a customer says in the chat, a member notes in one tap; every send asks for it."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Invalid
from scrm.privacy.optout import FLAGS, set_optout
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import behind_door, enter
from scrm.sidebar.words import REFUSALS
from web.texts import _

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/optout")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    visit = visit_of(request)
    await request.app[SERVICES].db.read(enter, visit)
    return page(request, "sheets/optout.html", visit=visit, refusals=REFUSALS, refused=raised_of(visit))


@routes.post("/sidebar/contacts/{external_userid}/optout")
@for_members
async def save(request: web.Request) -> web.StreamResponse:
    """{flag, on: 1 or 0}: the sheet and what the page shows of it anew, and the way back."""
    visit, form = visit_of(request), await request.post()
    flag, is_raised = str(form.get("flag", "")), form.get("on") == "1"
    refused = await request.app[SERVICES].db.write(_set, visit, flag, is_raised)
    return page(
        request,
        "optout_changed.html",
        visit=visit,
        refusals=REFUSALS,
        refused=refused,
        flag=flag,
        is_raised=is_raised,
    )


@behind_door
def _set(conn: Connection, visit: Visit, flag: str, is_raised: bool) -> frozenset[str]:
    if flag not in FLAGS:
        raise Invalid(_("没有这一项，请刷新页面"))
    assert visit.relation is not None  # noqa: S101 - behind the door
    refused = set_optout(conn, visit.person_id, {flag: is_raised}, actor=visit.relation.userid, now=visit.now)
    enter(conn, visit)  # the page's words come from what is kept now
    return frozenset(refused)


def raised_of(visit: Visit) -> frozenset[str]:
    """What the person refused, as it was read at the door."""
    assert visit.relation is not None  # noqa: S101 - behind the door
    return frozenset(name for name, value in (visit.relation.optout or {}).items() if value)
