"""同步与补漏: how far we are in step with WeCom, and the callbacks that never came."""

from datetime import datetime, timedelta

from aiohttp import web

from scrm.console.door import before_of, for_managers, page
from scrm.profiles.words import Word
from scrm.services import SERVICES
from scrm.sync import runs, store
from scrm.sync.sources import SOURCES

routes = web.RouteTableDef()

SHOWN = 50
STATES = {
    "running": Word("同步中", "info"),
    "waiting": Word("待继续", "warn"),
    "done": Word("已完成", "good"),
    "failed": Word("没有做完", "bad"),
}


@routes.get("/console/sync")
@for_managers
async def sync(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now = services.clock.now()
    rows = await services.db.read(store.list_missed, before=before_of(request), limit=SHOWN + 1)
    last = await services.db.read(store.last_runs)
    is_going_on = any(run.state == store.RUNNING for run in last.values()) or await services.db.read(runs.is_waiting)
    missed = [(row, how_late(row.happened_at, row.noticed_at)) for row in rows[:SHOWN]]
    return await page(
        request,
        "sync.html",
        active="sync",
        sources=SOURCES,
        runs=last,
        states=STATES,
        missed=missed,
        before=rows[SHOWN - 1].id if len(rows) > SHOWN else None,
        month=await services.db.read(store.count_missed, since=now - timedelta(days=30)),
        is_going_on=is_going_on,
    )


@routes.post("/console/sync")
@for_managers
async def ask(request: web.Request) -> web.StreamResponse:
    """Leaves the work to the sync lane; a second press while it waits changes nothing."""
    services = request.app[SERVICES]
    await services.db.write(runs.ask, now=services.clock.now())
    raise web.HTTPSeeOther("/console/sync")


def how_late(happened_at: datetime | None, noticed_at: datetime) -> str:
    """In the largest fitting unit; empty when nobody knows when it happened."""
    if happened_at is None:
        return ""
    minutes = max(1, round((noticed_at - happened_at).total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} 分钟"
    return f"{minutes // 60} 小时" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} 天"
