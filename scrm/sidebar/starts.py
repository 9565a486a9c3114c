"""开始 SOP: a member starts a playbook for the customer whose chat is open: sees first what comes, and may take it back."""

from collections.abc import Mapping
from datetime import timedelta

from aiohttp import web
from sqlalchemy import Connection

from scrm.errors import Conflict, NotFound, ScrmError
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.script_shelf import with_gaps
from scrm.sop import store
from scrm.sop.contact_values import Contact, values_of
from scrm.sop.enrol import Rules
from scrm.sop.reasons.start_preview import Preview, preview
from scrm.sop.schema import Playbook
from scrm.sop.shelf import house_of, playbooks_of, shop_of
from scrm.sop.starts import By, Started, list_startable, start_by_hand
from scrm.sop.taken_back import has_spoken, take_back
from scrm.sop.text import start_fields
from scrm.sop.values import named_in
from web.texts import _

routes = web.RouteTableDef()

UNDO = timedelta(minutes=1)
_ASK = "ask."


@routes.get("/sidebar/contacts/{external_userid}/starts")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """What can be started; asked for when a member opens the row."""
    visit = visit_of(request)
    await request.app[SERVICES].db.read(_enter, visit)
    return _page(request, visit)


@routes.post("/sidebar/contacts/{external_userid}/starts/preview")
@for_members
async def show_preview(request: web.Request) -> web.StreamResponse:
    """{playbook, its own fields}: what it asks for first; then its first steps, or why it cannot be started now."""
    visit, key, given = visit_of(request), await _key(request), await _given(request)
    rules, shop = _rules(request), shop_of(request.app[SERVICES])
    asking = next((each for each in list_startable(rules) if each.key == key and each.trigger.ask), None)
    if asking is not None and not given:
        await request.app[SERVICES].db.read(_enter, visit)
        return _page(request, visit, chosen=key, asking=asking)
    facts, wrong = start_fields.filled(asking.trigger.ask if asking is not None else (), given)
    answers = {f"trigger.{name}": str(value) for name, value in facts.items()}
    if asking is not None and wrong:
        await request.app[SERVICES].db.read(_enter, visit)
        return _page(request, visit, chosen=key, asking=asking, given=given, problem="；".join(wrong))

    def look(conn: Connection) -> Preview:
        _enter(conn, visit)

        def say(text: str) -> str:
            contact = Contact(visit.person_id, visit.userid, visit.external_userid)
            known = values_of(conn, contact, named_in(text), shop, visit.now)
            return with_gaps(text, {**known, **answers})

        return preview(conn, rules, key, visit.person_id, _by(visit), visit.now, say, given=given)

    try:
        # Written to, and taken back: not for reading connections.
        found = await request.app[SERVICES].db.write(look)
    except ScrmError as error:
        if error.status not in (404, 409):
            raise
        return _page(request, visit, chosen=key, problem=_("不能开始：{why}", why=error.text))
    return _page(request, visit, chosen=key, found=found)


@routes.post("/sidebar/contacts/{external_userid}/starts")
@for_members
async def start(request: web.Request) -> web.StreamResponse:
    """{playbook, its own fields}: the row anew, with what came of it in words."""
    visit, key, given = visit_of(request), await _key(request), await _given(request)
    rules = _rules(request)

    def write(conn: Connection) -> Started:
        _enter(conn, visit)
        return start_by_hand(conn, rules, key, visit.person_id, _by(visit), visit.now, facts=given)

    try:
        started = await request.app[SERVICES].db.write(write)
    except ScrmError as error:
        if error.status not in (404, 409):
            raise
        return _page(request, visit, chosen=key, problem=_("没有开始：{why}", why=error.text))
    return _page(request, visit, done=started.words, started=started.enrolment_id)


@routes.post(r"/sidebar/contacts/{external_userid}/starts/{enrolment_id:\d{1,18}}/undo")
@for_members
async def undo(request: web.Request) -> web.StreamResponse:
    """Within a minute, while nothing of it has reached the customer."""
    visit, enrolment_id = visit_of(request), int(request.match_info["enrolment_id"])

    def write(conn: Connection) -> None:
        _enter(conn, visit)
        run = store.lock_enrolment(conn, enrolment_id)
        if run is None or run.person_id != visit.person_id or run.event_id is None:
            raise NotFound(_("没有这次开始的记录，请刷新页面。"))
        if not store.was_begun_by(conn, run.event_id, visit.userid):
            raise Conflict(_("只能由开始的人撤销。"))
        if visit.now - run.enrolled_at > UNDO:
            raise Conflict(_("只能在开始后 1 分钟内撤销，之后请到待办里跳过。"))
        if has_spoken(conn, run.id):
            raise Conflict(_("已经发给客户了，不能撤销。"))
        take_back(conn, [run], _("员工撤销了开始"), now=visit.now)

    try:
        await request.app[SERVICES].db.write(write)
    except ScrmError as error:
        if error.status not in (404, 409):
            raise
        return _page(request, visit, problem=error.text)
    return _page(request, visit, done=_("已撤销，没有发出任何消息。"))


async def _key(request: web.Request) -> str:
    return str((await request.post()).get("playbook", ""))[:64]


async def _given(request: web.Request) -> dict[str, str]:
    """What was filled in: ask.<key>."""
    said = await request.post()
    return {name.removeprefix(_ASK): str(value) for name, value in said.items() if name.startswith(_ASK)}


def _by(visit: Visit) -> By:
    return By(visit.userid, visit.userid, visit.external_userid)


def _enter(conn: Connection, visit: Visit) -> None:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)


def _rules(request: web.Request) -> Rules:
    services = request.app[SERVICES]
    return Rules(playbooks_of(services), house_of(services))


def _page(
    request: web.Request,
    visit: Visit,
    *,
    chosen: str = "",
    problem: str = "",
    done: str = "",
    found: Preview | None = None,
    asking: Playbook | None = None,
    given: Mapping[str, str] | None = None,
    started: int | None = None,
) -> web.StreamResponse:
    return page(
        request,
        "starts.html",
        visit=visit,
        playbooks=list_startable(_rules(request)),
        chosen=chosen,
        problem=problem,
        done=done,
        found=found,
        asking=asking,
        given=given or {},
        started=started,
    )
