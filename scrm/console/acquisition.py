"""获客链接: links and their channels, who came, what is left of what was bought."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, page
from scrm.contact_ways import acquisition, ledger, store
from scrm.contact_ways.forms import read_draft
from scrm.errors import Invalid, Unavailable
from scrm.services import SERVICES
from scrm.sop.store import member_names
from scrm.wecom.acquisition import scheme_of
from scrm.wecom.errors import WeComError

routes = web.RouteTableDef()

LINK = r"{link_id:[0-9A-Za-z_\-]{1,64}}"
WARNINGS = {
    "balance_low": "获客链接的额度不足 20 次，用完后链接不再添加客户。请到 企业微信管理后台 → 客户与上下游 → 获客助手 购买。",
    "balance_exhausted": "获客链接的额度已用完，链接暂时不能添加客户。请到 企业微信管理后台 → 客户与上下游 → 获客助手 购买。",
    "quota_expire_soon": "有一部分获客额度快要到期，到期后作废。",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _with_wecom(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except WeComError as error:
            raise Unavailable(f"企业微信没有接受：{error.text}") from error

    return guarded


@routes.get("/console/acquisition")
@for_managers
async def links(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        rows = acquisition.list_links(conn)
        channels: dict[str, list[Any]] = {}
        for way in store.list_channels_of_links(conn):
            channels.setdefault(way.link_id, []).append(way)
        quota = acquisition.find_quota(conn)
        since = ledger.day_start(now, zone, 29).date().isoformat()
        return {
            "rows": rows,
            "channels": channels,
            "customers": acquisition.count_customers(conn),
            "steps": acquisition.count_steps(conn, since),
            "figures": ledger.figures(conn, now, zone),
            "nobody": ledger.Figures(),
            "quota": quota,
            "soon": _ends_soon(quota, now),
            "names": member_names(conn, {userid for row in rows for userid in row.userids}),
            "members": {row.userid: row.name or row.userid for row in store.list_receivers(conn)},
        }

    found = await services.db.read(look)
    return await page(
        request,
        "acquisition.html",
        active="acquisition",
        warnings=WARNINGS,
        address=acquisition.address_of,
        scheme=scheme_of,
        **found,
    )


def _ends_soon(quota: Any, now: datetime) -> list[tuple[datetime, int]]:
    """What is left and ends within two weeks."""
    if quota is None:
        return []
    parts = [(datetime.fromtimestamp(part["expire_date"], UTC), part["balance"]) for part in quota.parts]
    return [(ends, left) for ends, left in parts if left and now < ends <= now + timedelta(days=14)]


@routes.post("/console/acquisition")
@for_managers
@_with_wecom
async def make(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    draft = read_draft(form)  # type: ignore[arg-type]
    await acquisition.make_link(request.app[SERVICES], draft.title, draft.userids, skip_verify=draft.skip_verify)
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post(f"/console/acquisition/{LINK}")
@for_managers
@_with_wecom
async def change(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    draft = read_draft(form)  # type: ignore[arg-type]
    link_id = request.match_info["link_id"]
    await acquisition.change_link(
        request.app[SERVICES], link_id, draft.title, draft.userids, skip_verify=draft.skip_verify
    )
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post(f"/console/acquisition/{LINK}/channels")
@for_managers
async def add_channel(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    draft = read_draft(form)  # type: ignore[arg-type]
    if len(draft.title) > 30:
        raise Invalid(f"渠道名称最多 30 个字，现在有 {len(draft.title)} 个字")
    await services.db.write(
        acquisition.add_channel,
        request.match_info["link_id"],
        title=draft.title,
        kind=draft.kind,
        plan=draft.plan,
        state=str(form.get("state", "")).strip(),
        now=services.clock.now(),
    )
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post(f"/console/acquisition/{LINK}/delete")
@for_managers
@_with_wecom
async def delete(request: web.Request) -> web.StreamResponse:
    await acquisition.end_link(request.app[SERVICES], request.match_info["link_id"])
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post("/console/acquisition-quota")
@for_managers
@_with_wecom
async def look_again(request: web.Request) -> web.StreamResponse:
    await acquisition.refresh_quota(request.app[SERVICES])
    raise web.HTTPSeeOther("/console/acquisition")
