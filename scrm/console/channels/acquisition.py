"""获客链接: links and their channels, who came, what is left of what was bought."""

from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, page, with_wecom
from scrm.contact_ways import acquisition, ledger, link_figures, store
from scrm.contact_ways.forms import read_draft
from scrm.errors import Invalid, NotFound
from scrm.profiles.members import member_names
from scrm.reports.lines import draw
from scrm.reports.period import SPANS, USUAL, read_asked
from scrm.services import SERVICES
from scrm.wecom.acquisition import scheme_of

routes = web.RouteTableDef()

LINK = r"{link_id:[0-9A-Za-z_\-]{1,64}}"
WARNINGS = {
    "balance_low": "获客链接的额度不足 20 次，用完后链接不再添加客户。请到 企业微信管理后台 → 客户与上下游 → 获客助手 购买。",
    "balance_exhausted": "获客链接的额度已用完，链接暂时不能添加客户。请到 企业微信管理后台 → 客户与上下游 → 获客助手 购买。",
    "quota_expire_soon": "有一部分获客额度快要到期，到期后作废。",
}


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
        since = ledger.day_start(now, zone, 29).date().isoformat()
        return {
            "rows": rows,
            "channels": channels,
            "customers": acquisition.count_customers(conn),
            "steps": acquisition.count_steps(conn, since),
            "figures": ledger.figures(conn, now, zone),
            "nobody": ledger.Figures(),
            **_quota(conn, now),
            "names": member_names(conn, {userid for row in rows for userid in row.userids}),
            "members": {row.userid: row.name or row.userid for row in store.list_receivers(conn)},
        }

    found = await services.db.read(look)
    return await page(
        request,
        "acquisition.html",
        active="acquisition",
        address=acquisition.address_of,
        scheme=scheme_of,
        **found,
    )


@routes.get(f"/console/acquisition/{LINK}")
@for_managers
async def statistics(request: web.Request) -> web.StreamResponse:
    """?days=7, 30 or 90: what one link brought, by channel and by day; a deleted link keeps its figures."""
    services, link_id = request.app[SERVICES], request.match_info["link_id"]
    now, zone = services.clock.now(), services.settings.shop.zone
    asked = read_asked(request.query, now, zone)

    def look(conn: Connection) -> dict[str, Any]:
        link = acquisition.find_link(conn, link_id)
        if link is None:
            raise NotFound("没有这个获客链接，请回到列表重新选择")
        found = link_figures.figures(conn, link_id, asked.period.first, asked.period.last, zone)
        return {"link": link, "found": found, **_quota(conn, now)}

    values = await services.db.read(look)
    return await page(
        request,
        "acquisition_link.html",
        active="acquisition",
        asked=asked,
        spans=SPANS,
        **_shown(values["found"]),
        **values,
    )


def _quota(conn: Connection, now: datetime) -> dict[str, Any]:
    quota = acquisition.find_quota(conn)
    return {
        "quota": quota,
        "soon": acquisition.expiring(quota, now),
        "warning": WARNINGS.get(acquisition.warning_of(quota, now), ""),
    }


def _shown(found: link_figures.LinkFigures) -> dict[str, Any]:
    came = list(found.days.values())
    lines = [("新增", "info", [each.adds for each in came]), ("开口", "good", [each.talked for each in came])]
    channels = sorted(found.channels.items(), key=lambda each: (-each[1].adds, each[0]))
    return {"chart": draw(list(found.days), lines), "channels": channels}


@routes.post(f"/console/acquisition/{LINK}/refresh")
@for_managers
@with_wecom
async def refresh(request: web.Request) -> web.StreamResponse:
    """Asks WeCom for the days that are shown and missing."""
    link_id, days = request.match_info["link_id"], str((await request.post()).get("days", ""))
    span = int(days) if days in {str(each) for each in SPANS} else USUAL
    await link_figures.read_days(request.app[SERVICES], link_id, days=span)
    raise web.HTTPSeeOther(f"/console/acquisition/{link_id}?days={span}")


@routes.post("/console/acquisition")
@for_managers
@with_wecom
async def make(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    draft = read_draft(form)  # type: ignore[arg-type]
    await acquisition.make_link(request.app[SERVICES], draft.title, draft.userids, skip_verify=draft.skip_verify)
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post(f"/console/acquisition/{LINK}")
@for_managers
@with_wecom
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
@with_wecom
async def delete(request: web.Request) -> web.StreamResponse:
    await acquisition.end_link(request.app[SERVICES], request.match_info["link_id"])
    raise web.HTTPSeeOther("/console/acquisition")


@routes.post("/console/acquisition-quota")
@for_managers
@with_wecom
async def look_again(request: web.Request) -> web.StreamResponse:
    await acquisition.refresh_quota(request.app[SERVICES])
    raise web.HTTPSeeOther("/console/acquisition")
