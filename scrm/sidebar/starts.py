"""开始 SOP: a member starts a playbook for the customer whose chat is open."""

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import ScrmError
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sop.enrol import Rules
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.starts import By, Started, list_startable, start_by_hand

routes = web.RouteTableDef()


@routes.get("/sidebar/contacts/{external_userid}/starts")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """What can be started; asked for when a member opens the row."""
    visit = visit_of(request)
    await request.app[SERVICES].db.read(_enter, visit)
    return _page(request, visit)


@routes.post("/sidebar/contacts/{external_userid}/starts")
@for_members
async def start(request: web.Request) -> web.StreamResponse:
    """{playbook}: the row anew, with what came of it in words."""
    visit = visit_of(request)
    key = str((await request.post()).get("playbook", ""))[:64]
    rules = _rules(request)

    def write(conn: Connection) -> Started:
        _enter(conn, visit)
        by = By(visit.userid, visit.userid, visit.external_userid)
        return start_by_hand(conn, rules, key, visit.person_id, by, visit.now)

    try:
        started = await request.app[SERVICES].db.write(write)
    except ScrmError as error:
        if error.status not in (404, 409):
            raise
        return _page(request, visit, chosen=key, problem=error.text)
    return _page(request, visit, done=started.words)


def _enter(conn: Connection, visit: Visit) -> None:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)


def _rules(request: web.Request) -> Rules:
    services = request.app[SERVICES]
    return Rules(playbooks_of(services), house_of(services))


def _page(
    request: web.Request, visit: Visit, *, chosen: str = "", problem: str = "", done: str = ""
) -> web.StreamResponse:
    return page(
        request,
        "starts.html",
        visit=visit,
        playbooks=list_startable(_rules(request)),
        chosen=chosen,
        problem=problem,
        done=done,
    )
