"""跟进记录: written beside the chat, read by every colleague who follows the customer too."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.errors import NotFound, ScrmError
from scrm.profiles import notes
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.once import make_once, new_once
from scrm.sidebar.sheets import back_to_sheet, behind_door, close_sheet, enter
from web.texts import _

routes = web.RouteTableDef()

FIRST, PAGE = 3, 20
_NOTE = r"/sidebar/contacts/{external_userid}/notes/{note_id:\d{1,18}}"


@dataclass(frozen=True, slots=True)
class Notes:
    """A page of notes; `before` is where the next one goes on, None at the end."""

    rows: list[Row[Any]]
    mine: frozenset[int]
    before: int | None


@routes.get("/sidebar/contacts/{external_userid}/notes")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """The newest ones; with `?before=` those that are older."""
    visit, before = visit_of(request), _number(request.query.get("before", ""))
    found = await request.app[SERVICES].db.read(_load, visit, before)
    template = "notes.html" if before is None else "notes_rows.html"
    return page(request, template, visit=visit, notes=found, kinds=notes.KINDS)


@routes.get("/sidebar/contacts/{external_userid}/notes/new")
@for_members
async def begin(request: web.Request) -> web.StreamResponse:
    visit = visit_of(request)
    await request.app[SERVICES].db.read(enter, visit)
    return _form(request, visit, kind="chat")


@routes.get(_NOTE)
@for_members
async def open_one(request: web.Request) -> web.StreamResponse:
    """The form with the words of a note of one's own."""
    visit, note_id = visit_of(request), int(request.match_info["note_id"])
    found = await request.app[SERVICES].db.read(_load, visit, note_id + 1, 1)
    row = next((row for row in found.rows if row.id == note_id), None)
    if row is None or row.id not in found.mine:
        raise NotFound(_("这条跟进记录不能再改，请刷新页面"))
    return _form(request, visit, kind=row.kind, text=row.text, note_id=note_id)


@routes.post("/sidebar/contacts/{external_userid}/notes")
@for_members
async def add(request: web.Request) -> web.StreamResponse:
    """{kind, text}: the list anew; the sheet again when there is something to mend."""
    return await _save(request, notes.add)


@routes.post(_NOTE)
@for_members
async def change(request: web.Request) -> web.StreamResponse:
    note_id = int(request.match_info["note_id"])

    def write(conn: Connection, author: notes.Author, draft: notes.Draft, **when: Any) -> int:
        notes.change(conn, author, note_id, draft, **when)
        return 0

    return await _save(request, write, note_id)


async def _save(request: web.Request, write: Callable[..., int], note_id: int = 0) -> web.Response:
    visit, form = visit_of(request), await request.post()
    kind, text, once = (str(form.get(name, "")) for name in ("kind", "text", "once"))

    @behind_door
    def keep(conn: Connection, visit: Visit) -> int:
        draft = notes.read_draft(kind, text)
        return make_once(conn, visit, once, lambda: write(conn, _author(visit), draft, now=visit.now))

    try:
        new_id = await request.app[SERVICES].db.write(keep, visit)
    except ScrmError as error:
        if error.status not in (409, 422):
            raise
        return back_to_sheet(
            _form(request, visit, kind=kind, text=text, note_id=note_id, once=once, problem=error.text)
        )
    said = _("已记下跟进") if new_id else _("已改好")
    return close_sheet(await _list(request, visit, said=said, undo_delete=new_id))


@routes.delete(_NOTE)
@for_members
async def delete(request: web.Request) -> web.StreamResponse:
    visit, note_id = visit_of(request), int(request.match_info["note_id"])

    @behind_door
    def write(conn: Connection, visit: Visit) -> None:
        notes.delete(conn, _author(visit), note_id, now=visit.now)

    await request.app[SERVICES].db.write(write, visit)
    return close_sheet(await _list(request, visit, said=_("已删除跟进记录"), undo_restore=note_id))


@routes.post(_NOTE + "/restore")
@for_members
async def restore(request: web.Request) -> web.StreamResponse:
    visit, note_id = visit_of(request), int(request.match_info["note_id"])

    @behind_door
    def write(conn: Connection, visit: Visit) -> None:
        notes.restore(conn, _author(visit), note_id, now=visit.now)

    await request.app[SERVICES].db.write(write, visit)
    return await _list(request, visit, said=_("已恢复"))


async def _list(request: web.Request, visit: Visit, **said: Any) -> web.Response:
    found = await request.app[SERVICES].db.read(_load, visit, None)
    values = {"said": "", "undo_delete": 0, "undo_restore": 0, **said}
    return page(request, "notes_changed.html", visit=visit, notes=found, kinds=notes.KINDS, **values)


def _form(request: web.Request, visit: Visit, **given: Any) -> web.Response:
    values = {"kind": "chat", "text": "", "note_id": 0, "problem": "", "once": new_once(), **given}
    return page(request, "sheets/note.html", visit=visit, kinds=notes.KINDS, most=notes.MOST_CHARACTERS, **values)


@behind_door
def _load(conn: Connection, visit: Visit, before: int | None, limit: int = 0) -> Notes:
    limit = limit or (FIRST if before is None else PAGE)
    rows = list(notes.list_notes(conn, visit.person_id, before=before, limit=limit + 1))
    shown = rows[:limit]
    mine = frozenset(row.id for row in shown if notes.may_change(row, visit.userid, visit.now))
    return Notes(shown, mine, shown[-1].id if len(rows) > limit else None)


def _author(visit: Visit) -> notes.Author:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return notes.Author(visit.relation.userid, visit.external_userid, visit.person_id)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
