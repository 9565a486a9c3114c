"""回调 and 任务队列: what went wrong word for word, and the button that tries it again."""

from aiohttp import web

from scrm.callbacks import inbox, store
from scrm.callbacks.handlers import router
from scrm.callbacks.masking import masked
from scrm.callbacks.words import title
from scrm.console.door import for_managers, page
from scrm.errors import NotFound
from scrm.services import SERVICES
from scrm.work import queue

routes = web.RouteTableDef()

SHOWN = 50


@routes.get("/console/callbacks")
@for_managers
async def callbacks(request: web.Request) -> web.StreamResponse:
    state = request.query.get("state", "")
    if state == "handled":
        return await _handled(request)
    state = state if state in store.ODD else ""
    odd = await request.app[SERVICES].db.read(store.list_odd, state, limit=SHOWN)
    rows = [(row, masked(bytes(row.body))) for row in odd]
    return await page(
        request, "callbacks.html", active="callbacks", rows=rows, shown=SHOWN, queued=_queued(request), state=state
    )


async def _handled(request: web.Request) -> web.StreamResponse:
    """What came lately and was handled, or is known and not used; with the reason."""
    rows = [
        (title(row.name, row.change_type), row, router.why_unused(row.name, row.change_type))
        for row in await request.app[SERVICES].db.read(store.tally)
    ]
    return await page(request, "callbacks.html", active="callbacks", tallies=rows, state="handled", window=store.WINDOW)


@routes.post(r"/console/callbacks/{id:\d{1,18}}/retry")
@for_managers
async def retry_callback(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    inbox_id = int(request.match_info["id"])
    rows = await services.db.read(store.list_odd, limit=SHOWN)
    if inbox_id not in {row.id for row in rows}:
        raise NotFound("这条回调已经处理好了，或者不存在。请刷新列表查看")
    await services.db.write(inbox.run_again, inbox_id, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/callbacks?queued={inbox_id}")


@routes.get("/console/work")
@for_managers
async def work(request: web.Request) -> web.StreamResponse:
    dead = await request.app[SERVICES].db.read(queue.list_dead, limit=SHOWN)
    lanes = _by_lane(await request.app[SERVICES].db.read(queue.count_by_lane))
    return await page(request, "work.html", active="work", rows=dead, lanes=lanes, shown=SHOWN, queued=_queued(request))


@routes.post(r"/console/work/{id:\d{1,18}}/retry")
@for_managers
async def retry_work(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    item_id = int(request.match_info["id"])
    if not await services.db.write(queue.revive, item_id, now=services.clock.now()):
        raise NotFound("这个任务已经重新开始，或者不存在。请刷新列表查看")
    raise web.HTTPSeeOther(f"/console/work?queued={item_id}")


def _queued(request: web.Request) -> str:
    text = request.query.get("queued", "")
    return text if text.isascii() and text.isdigit() else ""


def _by_lane(counts: dict[tuple[str, int], int]) -> dict[str, dict[int, int]]:
    lanes: dict[str, dict[int, int]] = {}
    for (lane, state), count in counts.items():
        lanes.setdefault(lane, {})[state] = count
    return lanes
