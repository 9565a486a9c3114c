"""今日: what happened today, and what needs a hand."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.callbacks import store as callbacks
from scrm.console import beginning, store
from scrm.console.door import MANAGER, for_managers, page
from scrm.reports.today import compute_today
from scrm.services import SERVICES
from scrm.work import queue

routes = web.RouteTableDef()

RECENT_SENDS = 10
FEW = 3


@routes.get("/console/")
@for_managers
async def today(request: web.Request) -> web.StreamResponse:
    services, member = request.app[SERVICES], request[MANAGER]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        return {
            "today": compute_today(conn, now, zone),
            "steps": beginning.list_steps(conn, member.may),
            "sends": store.list_sends(conn, limit=RECENT_SENDS),
            "odd": callbacks.list_odd(conn, limit=FEW) if member.may("callbacks") else [],
            "dead": queue.list_dead(conn, limit=FEW) if member.may("work") else [],
        }

    return await page(request, "today.html", active="today", **await services.db.read(look))
