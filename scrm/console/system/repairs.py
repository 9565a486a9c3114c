"""任务队列: how deep each lane is, what stopped and why, and the buttons that try it again or let it go."""

from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm import audit, given_up, stops
from scrm.access.modules import EDIT
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.console.words import WORK_KINDS
from scrm.errors import NotFound
from scrm.services import SERVICES
from scrm.wecom.errors import WeComError
from scrm.wecom.stops import Stop
from scrm.work import queue
from scrm.work.reasons import explain
from scrm.work.worker import LANES

routes = web.RouteTableDef()

SHOWN = 50


@routes.get("/console/work")
@for_managers
async def work(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    kind = request.query.get("kind", "")[:40]
    look = await services.db.read(_look, kind, before_of(request))
    rows = look.pop("rows")
    trying = _by_reason(look.pop("trying"))
    return await page(
        request,
        "work.html",
        active="work",
        rows=[(row, explain(row.last_error)) for row in rows[:SHOWN]],
        trying=trying,
        before=rows[SHOWN - 1].id if len(rows) > SHOWN else None,
        kind=kind,
        queued=_number(request, "queued"),
        revived=_number(request, "revived"),
        discarded=_number(request, "discarded"),
        stopped=[(stop, explained(stop)) for stop in (await services.wecom.stops.look()).values()],
        resumed=_number(request, "resumed"),
        may_act=request[MANAGER].may("work", EDIT),
        **look,
    )


def _look(conn: Connection, kind: str, before: int | None) -> dict[str, Any]:
    return {
        "rows": queue.list_dead(conn, kind=kind, before=before, limit=SHOWN + 1),
        "kinds": queue.count_dead_by_kind(conn),
        "lanes": _by_lane(queue.count_by_lane(conn)),
        "held": queue.count_held(conn),
        "trying": queue.list_trying(conn, LANES),
        "oldest": {lane: queue.next_due_at(conn, lane) for lane in LANES},
    }


def _by_reason(found: list[queue.Trying]) -> list[queue.Trying]:
    """The error as people read it, under which calls that WeCom numbers one by one are the same; the most first."""
    alike: dict[tuple[str, str], queue.Trying] = {}
    for each in found:
        key = each.kind, explain(each.error).reason
        known = alike.get(key, queue.Trying(*key, 0, each.due_at))
        alike[key] = queue.Trying(*key, known.many + each.many, min(known.due_at, each.due_at))
    return sorted(alike.values(), key=lambda each: -each.many)[:SHOWN]


def explained(stop: Stop) -> str:
    return WeComError(stop.errcode, stop.errmsg, path=stop.path).text


@routes.post("/console/work/resume")
@for_managers
async def resume_work(request: web.Request) -> web.StreamResponse:
    """Somebody says that it is mended: what was held goes on; where it is not, one call stops it again."""
    services = request.app[SERVICES]
    known = await services.wecom.stops.look()
    count = await stops.resume(services, *known)
    await services.db.write(_note_resumed, [f"{stop.errcode} {stop.path}" for stop in known.values()], count)
    raise web.HTTPSeeOther(f"/console/work?resumed={count}")


def _note_resumed(conn: Connection, refused: list[str], count: int) -> None:
    audit.changed(conn, "work_item", "held", None, {"refused": refused, "count": count})


@routes.post(r"/console/work/{id:\d{1,18}}/retry")
@for_managers
async def retry_work(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    item_id = int(request.match_info["id"])
    if not await services.db.write(given_up.revive, item_id, now=services.clock.now()):
        raise NotFound("这个任务已经重新开始，或者不存在。请刷新列表查看")
    raise web.HTTPSeeOther(f"/console/work?queued={item_id}")


@routes.post("/console/work/retry")
@for_managers
async def retry_kind(request: web.Request) -> web.StreamResponse:
    """Every dead letter of a kind that stands there now: what dies again meanwhile is not tried twice."""
    services = request.app[SERVICES]
    kind, now, revived, seen = str((await request.post()).get("kind", ""))[:40], services.clock.now(), 0, 0
    newest = await services.db.read(queue.list_dead, kind=kind, limit=1)
    while newest and (ids := await services.db.read(queue.oldest_dead, kind, after=seen, up_to=newest[0].id)):
        revived += await services.db.write(_revive, kind, ids, now)
        seen = ids[-1]
    if not revived:
        raise NotFound(f"没有停止的“{WORK_KINDS.get(kind, kind)}”任务，可能已经重新开始。请刷新列表查看")
    raise web.HTTPSeeOther(f"/console/work?revived={revived}")


def _revive(conn: Connection, kind: str, ids: list[int], now: datetime) -> int:
    count = sum(given_up.revive(conn, each, now=now) for each in ids)
    audit.changed(conn, "work_item", kind, None, {"kind": kind, "count": count} if count else None)
    return count


@routes.post(r"/console/work/{id:\d{1,18}}/discard")
@for_managers
async def discard_work(request: web.Request) -> web.StreamResponse:
    services, item_id = request.app[SERVICES], int(request.match_info["id"])
    await services.db.write(_discard, item_id, services.clock.now())
    raise web.HTTPSeeOther(f"/console/work?discarded={item_id}")


def _discard(conn: Connection, item_id: int, now: datetime) -> None:
    gone = given_up.discard(conn, item_id, now=now)
    if gone is None:
        raise NotFound("这个任务已经重新开始，或者不存在。请刷新列表查看")
    audit.changed(conn, "work_item", item_id, {"kind": gone.kind, "error": gone.last_error}, None)


def _number(request: web.Request, name: str) -> str:
    text = request.query.get(name, "")
    return text if text.isascii() and text.isdigit() and len(text) < 19 else ""


def _by_lane(counts: dict[tuple[str, int], int]) -> dict[str, dict[int, int]]:
    lanes: dict[str, dict[int, int]] = {}
    for (lane, state), count in counts.items():
        lanes.setdefault(lane, {})[state] = count
    return lanes
