"""企业微信回调: all that WeCom told us, what became of each, and handling one or a range of them once more."""

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm import audit
from scrm.access.modules import EDIT, REVEAL
from scrm.callbacks import replay, search, store
from scrm.callbacks.handlers import router
from scrm.callbacks.masking import masked
from scrm.callbacks.models import FORGOTTEN
from scrm.callbacks.search import Wanted
from scrm.callbacks.words import TITLES, title
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.console.words import CALLBACK_STATES
from scrm.errors import Invalid, NotFound, ScrmError
from scrm.services import SERVICES
from scrm.wecom.events import Event
from scrm.work.reasons import explain

routes = web.RouteTableDef()

SHOWN = 50
_ONE = r"/console/callbacks/{id:\d{1,18}}"
_FIELDS = ("kind", "contact", "member", "state", "since", "until")


@dataclass(frozen=True, slots=True)
class One:
    """A callback with all that is known of it."""

    row: Row[Any]
    failures: list[Row[Any]]
    work: list[Row[Any]]
    told: list[Row[Any]]
    sends: list[Row[Any]]
    runs: list[Row[Any]]
    contact: tuple[str, int] | None
    member: str


@routes.get("/console/callbacks")
@for_managers
async def callbacks(request: web.Request) -> web.StreamResponse:
    if request.query.get("state") == "handled":
        return await _tallies(request)
    return await _list(request, dict(request.query))


async def _list(request: web.Request, given: dict[str, Any], problem: str = "") -> web.Response:
    """The list; with `ask` in the address also what a replay of it would do."""
    services = request.app[SERVICES]
    asked = _asked(given)
    wanted = _wanted(asked, services.settings.shop.zone)
    found = await services.db.read(search.list_callbacks, wanted, before=before_of(request), limit=SHOWN)
    contacts, members = await services.db.read(search.names_of, found.rows)
    count = 0
    if "ask" in request.query and not problem:
        try:
            count = await services.db.read(replay.count, wanted, services.clock.now())
        except ScrmError as error:
            problem = error.text
    return await page(
        request,
        "callbacks.html",
        active="callbacks",
        found=found,
        contacts=contacts,
        members=members,
        asked=asked,
        query=urlencode({name: value for name, value in asked.items() if value}),
        kinds=_kinds(),
        title=title,
        explain=explain,
        count=count,
        problem=problem,
        job=await services.db.read(replay.find_last),
        may_replay=request[MANAGER].may("callbacks", EDIT),
        keep=services.settings.retention,
        state="",
    )


async def _tallies(request: web.Request) -> web.StreamResponse:
    """What came lately and was handled, or is known and not used; with the reason."""
    rows = [
        (title(row.name, row.change_type), row, router.why_unused(row.name, row.change_type))
        for row in await request.app[SERVICES].db.read(store.tally)
    ]
    return await page(request, "callbacks.html", active="callbacks", tallies=rows, state="handled", window=store.WINDOW)


@routes.get(_ONE)
@for_managers
async def callback(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post(f"{_ONE}/reveal")
@for_managers
async def show_clear(request: web.Request) -> web.StreamResponse:
    """The page again with the body as it came; only for a reason, which the log keeps."""
    reason = str((await request.post()).get("reason", "")).strip()[:200]
    if len(reason) < 2:
        return await _show(request, problem="请填写查看原因（至少 2 个字），例如“核对漏掉的欢迎语”")
    await request.app[SERVICES].db.write(_note_seen, int(request.match_info["id"]), reason)
    response = await _show(request, is_clear=True)
    response.headers["Cache-Control"] = "no-store"
    return response


def _note_seen(conn: Connection, inbox_id: int, reason: str) -> None:
    audit.changed(conn, "callback", inbox_id, None, {"seen": "原文", "reason": reason})


@routes.post(f"{_ONE}/replay")
@for_managers
async def replay_one(request: web.Request) -> web.StreamResponse:
    services, inbox_id = request.app[SERVICES], int(request.match_info["id"])
    if not await services.db.write(replay.run_again, inbox_id, now=services.clock.now()):
        raise NotFound("这条回调正在处理，或者原文已经删除，不能重放。请刷新页面查看")
    raise web.HTTPSeeOther(f"/console/callbacks/{inbox_id}?queued")


@routes.post("/console/callbacks/replay")
@for_managers
async def replay_range(request: web.Request) -> web.StreamResponse:
    """All that the list shows, in the background."""
    services, form = request.app[SERVICES], dict(await request.post())
    wanted = _wanted(_asked(form), services.settings.shop.zone)
    await services.db.write(_ask, wanted, request[MANAGER].userid, services.clock.now())
    raise web.HTTPSeeOther("/console/callbacks")


def _ask(conn: Connection, wanted: Wanted, userid: str, now: datetime) -> None:
    job_id = replay.ask(conn, wanted, asked_by=userid, now=now)
    audit.changed(conn, "callback_replay", job_id, None, wanted.as_json())


@routes.get(r"/console/callbacks/replays/{id:\d{1,18}}")
@for_managers
async def progress(request: web.Request) -> web.StreamResponse:
    """How far the last job came; the page asks for it every second."""
    job = await request.app[SERVICES].db.read(replay.find_last)
    if job is None:
        raise NotFound("没有这次重放，请回到回调列表查看")
    return await page(
        request,
        "callback_replay.html",
        active="callbacks",
        job=job,
        may_replay=request[MANAGER].may("callbacks", EDIT),
    )


@routes.post(r"/console/callbacks/replays/{id:\d{1,18}}/stop")
@for_managers
async def stop(request: web.Request) -> web.StreamResponse:
    """A second press changes nothing."""
    services = request.app[SERVICES]
    await services.db.write(replay.stop, int(request.match_info["id"]), now=services.clock.now())
    raise web.HTTPSeeOther("/console/callbacks")


async def _show(request: web.Request, *, is_clear: bool = False, problem: str = "") -> web.Response:
    one = await request.app[SERVICES].db.read(_look, int(request.match_info["id"]))
    row, body = one.row, bytes(one.row.body)
    event = Event(row.name, row.change_type, row.received_at, {})
    handler = router.find(event)
    is_gone = body in (FORGOTTEN, b"")
    return await page(
        request,
        "callback.html",
        active="callbacks",
        one=one,
        row=row,
        title=title(row.name, row.change_type),
        handler=handler.__module__.rpartition(".")[2] if handler is not None else "",
        unused=router.why_unused(row.name, row.change_type),
        body="" if is_gone else body.decode("utf-8", "backslashreplace") if is_clear else masked(body),
        is_clear=is_clear,
        problem=problem,
        queued="queued" in request.query and row.state == "new",
        seconds=(row.done_at - row.received_at).total_seconds() if row.done_at else None,
        may_replay=request[MANAGER].may("callbacks", EDIT) and row.state != "new" and not is_gone,
        may_reveal=request[MANAGER].may("callbacks", REVEAL) and not is_gone,
    )


def _look(conn: Connection, inbox_id: int) -> One:
    row = search.find_callback(conn, inbox_id)
    if row is None:
        raise NotFound("没有这条回调，可能已到保留期限被删除。请回到回调列表查找")
    contacts, members = search.names_of(conn, [row])
    return One(
        row,
        search.list_failures(conn, inbox_id),
        search.list_work(conn, row.correlation),
        search.list_told(conn, row),
        search.list_sends(conn, row),
        search.list_runs(conn, row),
        contacts.get(row.external_userid),
        members.get(row.userid, ""),
    )


def _kinds() -> list[tuple[str, str]]:
    """Events that can be chosen, in the words of the list."""
    return [(f"{name}:{change_type}" if change_type else name, text) for (name, change_type), text in TITLES.items()]


def _asked(given: dict[str, Any]) -> dict[str, str]:
    asked = {name: str(given.get(name, "")).strip()[:130] for name in _FIELDS}
    if asked["state"] not in {*CALLBACK_STATES, "odd"}:
        asked["state"] = ""
    return asked


def _wanted(asked: dict[str, str], zone: ZoneInfo) -> Wanted:
    """Days are the shop's; a last day is meant whole."""
    until = _day(asked["until"], zone)
    wanted = Wanted(**{**asked, "since": _day(asked["since"], zone), "until": None})  # type: ignore[arg-type]
    return wanted if until is None else replace(wanted, until=until + timedelta(days=1))


def _day(text: str, zone: ZoneInfo) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), zone)
    except ValueError:
        raise Invalid(f"日期“{text}”看不懂，请写成 2026-03-01 这样") from None
