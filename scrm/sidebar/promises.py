"""约定: what a member promises beside the chat becomes a task with a date: kept, put off or cancelled on its card."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.errors import Conflict, NotFound, ScrmError
from scrm.services import SERVICES
from scrm.sidebar.cards import tasks as task_cards
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.once import make_once, new_once
from scrm.sidebar.sheets import back_to_sheet, behind_door, close_sheet, enter
from scrm.sop.members import promises, task_store, tasks
from web.texts import N_, _

routes = web.RouteTableDef()

_PROMISES = "/sidebar/contacts/{external_userid}/promises"
_PROMISE = _PROMISES + r"/{task_id:\d{1,18}}"
# What people say when they promise; a tap writes it.
HINTS = (N_("找色号"), N_("回复价格"), N_("查物流"), N_("到货通知"), N_("安排售后"), N_("预留库存"))


@routes.get(_PROMISES + "/new")
@for_members
async def begin(request: web.Request) -> web.StreamResponse:
    visit = visit_of(request)
    await request.app[SERVICES].db.read(enter, visit)
    return _form(request, visit)


@routes.post(_PROMISES)
@for_members
async def make(request: web.Request) -> web.StreamResponse:
    """{words, day, clock?}: the top of the page with the new task among the others, and the way back."""
    visit, form = visit_of(request), {key: str(value) for key, value in (await request.post()).items()}

    @behind_door
    def write(conn: Connection, visit: Visit) -> int:
        words = promises.read_words(form.get("words", ""))
        due = _due(form, visit)
        assert visit.relation is not None  # noqa: S101 - behind the door
        author = promises.Author(visit.relation.userid, visit.external_userid, visit.person_id)
        once = form.get("once", "")
        return make_once(conn, visit, once, lambda: promises.make(conn, author, words, due, now=visit.now))

    try:
        task_id = await request.app[SERVICES].db.write(write, visit)
    except ScrmError as error:
        if error.status != 422:
            raise
        return back_to_sheet(_form(request, visit, given=form, problem=error.text))
    return close_sheet(await _top(request, visit, said=_("已记下约定"), task_id=task_id, undo="delete"))


@routes.get(_PROMISE)
@for_members
async def open_date(request: web.Request) -> web.StreamResponse:
    """The sheet that asks for another date."""
    visit, task_id = visit_of(request), int(request.match_info["task_id"])

    @behind_door
    def read(conn: Connection, visit: Visit) -> Row[Any]:
        return _own(conn, visit, task_id)

    return _form(request, visit, task=await request.app[SERVICES].db.read(read, visit))


@routes.post(_PROMISE)
@for_members
async def change_date(request: web.Request) -> web.StreamResponse:
    """{day, clock?}: agreed anew with the customer."""
    visit, task_id = visit_of(request), int(request.match_info["task_id"])
    form = {key: str(value) for key, value in (await request.post()).items()}

    @behind_door
    def read(conn: Connection, visit: Visit) -> Row[Any]:
        return _own(conn, visit, task_id)

    @behind_door
    def write(conn: Connection, visit: Visit) -> None:
        task = _own(conn, visit, task_id)
        if task.state != "open":
            raise Conflict(_("这个约定已经结束，不能再改期"))
        due = _due(form, visit)
        promises.move(conn, task, due)

    try:
        await request.app[SERVICES].db.write(write, visit)
    except ScrmError as error:
        if error.status != 422:
            raise
        task = await request.app[SERVICES].db.read(read, visit)
        return back_to_sheet(_form(request, visit, task=task, given=form, problem=error.text))
    return close_sheet(await _top(request, visit, said=_("已改期")))


@routes.post(_PROMISE + "/kept")
@for_members
async def keep(request: web.Request) -> web.StreamResponse:
    return await _act(
        request, lambda conn, visit, task_id: tasks.mark_done(conn, visit.userid, task_id, visit.now), _("已完成")
    )


@routes.delete(_PROMISE)
@for_members
async def cancel(request: web.Request) -> web.StreamResponse:
    return await _act(
        request,
        lambda conn, visit, task_id: tasks.skip_one(conn, visit.userid, task_id, _("约定取消"), visit.now),
        _("已取消约定"),
    )


async def _act(request: web.Request, act: Callable[[Connection, Visit, int], object], said: str) -> web.Response:
    visit, task_id = visit_of(request), int(request.match_info["task_id"])

    @behind_door
    def write(conn: Connection, visit: Visit) -> None:
        _own(conn, visit, task_id)
        act(conn, visit, task_id)

    await request.app[SERVICES].db.write(write, visit)
    return close_sheet(await _top(request, visit, said=said, task_id=task_id, undo="reopen"))


@routes.post(_PROMISE + "/reopen")
@for_members
async def reopen(request: web.Request) -> web.StreamResponse:
    """The way back from 完成 and 取消, for ten minutes."""
    services, visit, task_id = request.app[SERVICES], visit_of(request), int(request.match_info["task_id"])

    @behind_door
    def check(conn: Connection, visit: Visit) -> None:
        _own(conn, visit, task_id)

    await services.db.read(check, visit)
    await tasks.take_back(services, visit.userid, task_id)
    return await _top(request, visit, said=_("已恢复"))


def _due(form: Mapping[str, str], visit: Visit) -> promises.Due:
    day = form.get("day", "")
    day = form.get("other", "") if day in ("", "other") else day
    return promises.read_due(day, form.get("clock", ""), visit.now, visit.zone)


def _own(conn: Connection, visit: Visit, task_id: int) -> Row[Any]:
    task = task_store.find_task(conn, task_id)
    is_mine = task is not None and task.userid.casefold() == visit.userid.casefold()
    if task is None or not is_mine or task.kind != promises.KIND or task.external_userid != visit.external_userid:
        raise NotFound(_("没有这个约定，或者它不是你的，请刷新页面"))
    return task


async def _top(request: web.Request, visit: Visit, *, said: str, task_id: int = 0, undo: str = "") -> web.Response:
    @behind_door
    def read(conn: Connection, visit: Visit) -> task_cards.Tasks:
        return task_cards.load(conn, visit)

    view = await request.app[SERVICES].db.read(read, visit)
    return page(request, "promise_changed.html", visit=visit, view=view, said=said, task_id=task_id, undo=undo)


def _form(request: web.Request, visit: Visit, **given: Any) -> web.Response:
    values = {"task": None, "problem": "", **given}
    empty = {"words": "", "day": "", "other": "", "clock": "", "once": new_once()}
    values["given"] = empty | values.get("given", {})
    return page(
        request,
        "sheets/promise.html",
        visit=visit,
        days=promises.day_choices(visit.now, visit.zone),
        today=visit.now.astimezone(visit.zone).date(),
        hints=HINTS,
        most=promises.MOST_CHARACTERS,
        **values,
    )
