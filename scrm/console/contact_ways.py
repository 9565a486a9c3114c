"""渠道活码: which codes there are, who receives, and how many came."""

from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, page
from scrm.contact_ways.store import list_contact_ways
from scrm.reports.channels import Adds, count_adds
from scrm.services import SERVICES
from scrm.sop.store import member_names

routes = web.RouteTableDef()


@routes.get("/console/contact-ways")
@for_managers
async def contact_ways(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        rows = list_contact_ways(conn)
        adds = count_adds(conn, now, zone)
        known = {row.state for row in rows}
        return {
            "rows": rows,
            "adds": adds,
            "nobody": Adds(),
            "without": adds.get("", Adds()),
            "unknown": {state: count for state, count in adds.items() if state and state not in known},
            "names": member_names(conn, {userid for row in rows for userid in row.userids}),
        }

    return await page(request, "contact_ways.html", active="contact_ways", **await services.db.read(look))
