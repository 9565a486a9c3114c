"""话术: found in a moment, filled for this customer, sent in one tap; members keep their own beside the company's."""

from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from scrm.content.library import keep, store
from scrm.content.library.keep import said_of
from scrm.content.library.said import Said, give_back
from scrm.content.media import copies
from scrm.content.variables import VARIABLES
from scrm.errors import Invalid, NotFound
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar import script_sending
from scrm.sidebar.acts import fields_of
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.script_sending import Sending
from scrm.sidebar.script_shelf import (
    VIEWS,
    Desk,
    LinksLack,
    Wanted,
    find_usable,
    folder_tree,
    load_script,
    load_shelf,
    make_links,
    make_links_of,
    once_of,
    values_for,
)
from scrm.sop.shelf import shop_of
from web.texts import _

T = TypeVar("T")

routes = web.RouteTableDef()

_OF = "/sidebar/contacts/{external_userid}/scripts"
_ONE = _OF + r"/{script_id:\d{1,18}}"
# What members put into texts of their own; the others are for those who know what they do.
OFFERED = ("nickname", "salutation", "staff", "last_product", "carrier", "parcel_tail")
_NO_STORE = {"Cache-Control": "no-store"}


def _desk(request: web.Request) -> Desk:
    services = request.app[SERVICES]
    return Desk(visit_of(request), shop_of(services), services.vault)


async def _look(request: web.Request, desk: Desk, look: Callable[[Connection], T]) -> T:
    """Read, and when scripts name content that this customer has no link to yet, make the links and read again."""
    db = request.app[SERVICES].db
    try:
        return await db.read(look)
    except LinksLack as lack:
        await db.write(make_links, desk, lack.named)
        return await db.read(look)


def _enter(conn: Connection, visit: Visit) -> None:
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)


def _script_id(request: web.Request) -> int:
    return int(request.match_info["script_id"])


# Looking --------------------------------------------------------------------------------------------------------------


@routes.get(_OF)
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """The whole tab; members who have sent something before begin with what they send most."""
    desk = _desk(request)

    def look(conn: Connection) -> dict[str, Any]:
        _enter(conn, desk.visit)
        view = "used" if store.has_habits(conn, desk.visit.userid) else "all"
        return {"folders": folder_tree(store.list_folders(conn)), "shelf": load_shelf(conn, desk, Wanted(view=view))}

    values = await _look(request, desk, look)
    return page(request, "scripts.html", visit=desk.visit, views=VIEWS, **values)


@routes.get(_OF + "/list")
@for_members
async def show_list(request: web.Request) -> web.StreamResponse:
    """`?q=` what was typed, else `view` and `folder`; `from` for the next page."""
    desk, wanted = _desk(request), _wanted(request)

    def look(conn: Connection) -> Any:
        _enter(conn, desk.visit)
        return load_shelf(conn, desk, wanted)

    shelf = await _look(request, desk, look)
    return page(request, "scripts_rows.html", visit=desk.visit, shelf=shelf)


def _wanted(request: web.Request) -> Wanted:
    query = request.query
    view, folder, start = query.get("view", ""), query.get("folder", ""), query.get("from", "")
    return Wanted(
        typed=query.get("q", "").strip()[:40],
        view=view if view in VIEWS else "all",
        folder_id=int(folder) if folder.isascii() and folder.isdigit() and len(folder) < 19 else None,
        offset=int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 0,
    )


@routes.get(_ONE)
@for_members
async def show_one(request: web.Request) -> web.StreamResponse:
    """The half-screen dialog: everything that will be sent, and what can be done with it."""
    desk = _desk(request)

    def look(conn: Connection) -> Any:
        _enter(conn, desk.visit)
        return load_script(conn, desk, _script_id(request))

    view = await _look(request, desk, look)
    return page(request, "scripts_sheet.html", visit=desk.visit, script=view)


# Sending --------------------------------------------------------------------------------------------------------------


@routes.post(_ONE + "/release")
@for_members
async def release(request: web.Request) -> web.StreamResponse:
    """{once, again?, text?} -> {messages}: files are fetched to WeCom first, then the intent is kept."""
    services, desk, fields = request.app[SERVICES], _desk(request), await fields_of(request)
    text = fields.get("text")
    once, words = str(fields.get("once") or ""), None if text is None else str(text)
    sending = Sending(_script_id(request), once, words, is_unheard=fields.get("again") is True)
    files = await services.db.read(script_sending.find_files, desk.visit, sending.script_id)
    media_ids = {name: await copies.ensure_copy(services, sha256, copies.MESSAGE) for name, sha256 in files.items()}
    messages = await services.db.write(script_sending.release, desk, sending, media_ids)
    return web.json_response({"messages": messages}, headers=_NO_STORE)


@routes.post(_ONE + "/sending")
@for_members
async def note_sending(request: web.Request) -> web.StreamResponse:
    """{once, ok, error?} -> {once}: what the client said; by the new one it can be sent again."""
    fields, script_id = await fields_of(request), _script_id(request)
    await request.app[SERVICES].db.write(script_sending.note_sending, visit_of(request), script_id, dict(fields))
    return web.json_response({"once": once_of(script_id)}, headers=_NO_STORE)


# Likings, and members' own --------------------------------------------------------------------------------------------


@routes.post(_ONE + "/like")
@for_members
async def like(request: web.Request) -> web.StreamResponse:
    """{on}"""
    visit, is_on = visit_of(request), (await fields_of(request)).get("on") is True

    def write(conn: Connection) -> None:
        _enter(conn, visit)
        row = find_usable(conn, visit, _script_id(request))
        store.like(conn, visit.userid, row.id, visit.now if is_on else None)

    await request.app[SERVICES].db.write(write)
    return web.json_response({"on": is_on}, headers=_NO_STORE)


@routes.get(_OF + "/new")
@for_members
async def show_new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    visit = visit_of(request)
    await request.app[SERVICES].db.read(_enter, visit)
    return _form(request, visit, None)


@routes.get(_ONE + "/edit")
@for_members
async def show_edit(request: web.Request) -> web.StreamResponse:
    """A member's own script as it is written, with its variables."""
    visit = visit_of(request)

    def look(conn: Connection) -> Any:
        _enter(conn, visit)
        row = find_usable(conn, visit, _script_id(request))
        if row.owner != visit.userid:
            raise NotFound(_("企业话术请主管在后台修改；要改着用，点「改一改」再存为自己的。"))
        return row

    return _form(request, visit, await request.app[SERVICES].db.read(look))


def _form(request: web.Request, visit: Visit, script: Any) -> web.Response:
    offered = [(key, VARIABLES[key][0]) for key in OFFERED]
    return page(request, "scripts_form.html", visit=visit, script=script, offered=offered)


@routes.post(_OF)
@for_members
async def add_mine(request: web.Request) -> web.StreamResponse:
    """{title, text, of?} -> {id}: `of` the script whose text was edited, its attachments come along."""
    services, desk, fields = request.app[SERVICES], _desk(request), await fields_of(request)
    of = str(fields.get("of") or "")

    def write(conn: Connection) -> int:
        _enter(conn, desk.visit)
        one = _written(fields)
        if of.isascii() and of.isdigit() and len(of) < 19:
            first = said_of(find_usable(conn, desk.visit, int(of)))
            # It was filled for this customer: their name belongs in nobody's library.
            make_links_of(conn, desk, [first])
            text = give_back(one.text, first, values_for(conn, desk, [first]))
            one = Said(one.title, text, first.attachments)
        return keep.save_mine(conn, desk.visit.userid, None, one, now=desk.visit.now).script_id

    return web.json_response({"id": await services.db.write(write)}, headers=_NO_STORE)


@routes.post(_ONE)
@for_members
async def change_mine(request: web.Request) -> web.StreamResponse:
    """{title, text} -> {id}"""
    visit, fields = visit_of(request), await fields_of(request)

    def write(conn: Connection) -> int:
        _enter(conn, visit)
        row = find_usable(conn, visit, _script_id(request))
        one = _written(fields)
        one = Said(one.title, one.text, tuple(row.attachments or ()))
        return keep.save_mine(conn, visit.userid, row.id, one, now=visit.now).script_id

    return web.json_response({"id": await request.app[SERVICES].db.write(write)}, headers=_NO_STORE)


def _written(fields: Any) -> Said:
    title, text = (str(fields.get(name) or "").strip() for name in ("title", "text"))
    if not title:
        raise Invalid(_("请给这条话术起个名字，之后按它查找。"))
    return Said(title, text.replace("\r\n", "\n"))


@routes.post(_ONE + "/away")
@for_members
async def put_away(request: web.Request) -> web.StreamResponse:
    """{on}: delete one's own script, and undo it."""
    visit, is_on = visit_of(request), (await fields_of(request)).get("on") is True

    def write(conn: Connection) -> None:
        _enter(conn, visit)
        keep.put_away_mine(conn, visit.userid, _script_id(request), is_on, now=visit.now)

    await request.app[SERVICES].db.write(write)
    return web.json_response({"on": is_on}, headers=_NO_STORE)
