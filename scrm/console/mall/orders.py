"""订单: everybody's orders by time, state, channel, source and amount, with what they add up to."""

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.scope import Scope
from scrm.console import words
from scrm.console.door import MANAGER, before_of, for_managers, page
from scrm.customer_lists import bulk_store, order_export
from scrm.customer_lists import order_filters as filters
from scrm.customer_lists import order_store as store
from scrm.customer_lists.bulk_kinds import STATES
from scrm.customer_lists.export import SUFFIXES, TYPES, folder_of, opened_sheet
from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.profiles.store import names_of
from scrm.services import SERVICES, Services
from web.render import render

routes = web.RouteTableDef()

# A file of more orders than that is written in the background.
MOST_AT_ONCE = 5_000
_FILE = r"/console/orders/files/{id:\d{1,18}}"


@routes.get("/console/orders")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """The list as the address has it."""
    services, scope = request.app[SERVICES], request[MANAGER].scope
    narrowed, before = _narrowed(request), request.query.get("before", "")[:40]

    def look(conn: Connection) -> dict[str, Any]:
        found = store.find_page(conn, narrowed, scope, before=before)
        persons = {row.person_id for row in found.rows if row.person_id is not None}
        return {"found": found, "names": names_of(conn, persons), "channels": store.list_channels(conn)}

    return await page(
        request,
        "orders.html",
        active="orders",
        wanted=narrowed.wanted,
        narrowed=narrowed,
        states=filters.STATES,
        origins=filters.ROUTES,
        days=filters.DAYS,
        once=secrets.token_urlsafe(16),
        **await services.db.read(look),
    )


@routes.get("/console/orders/sums")
@for_managers
async def sums(request: web.Request) -> web.StreamResponse:
    """What they add up to, asked for when the rows are there already."""
    found = await request.app[SERVICES].db.read(store.sum_up, _narrowed(request), request[MANAGER].scope)
    return render(request, "console/orders_sums.html", sums=found, most=store.MOST_SUMMED, words=words)


# Files ----------------------------------------------------------------------------------------------------------------


@routes.post("/console/orders/export")
@for_managers
async def export(request: web.Request) -> web.StreamResponse:
    """What the list shows, all of it, as a file: few orders at once, many in the background."""
    services, member, form = request.app[SERVICES], request[MANAGER], await request.post()
    suffix = str(form.get("suffix", ""))
    if suffix not in SUFFIXES:
        raise NotFound(f"没有这种文件：{suffix[:10]}，可以导出 xlsx 或 csv")
    narrowed = _narrow(services, filters.read_text(str(form.get("query", ""))))
    if narrowed.problems:
        raise Invalid("；".join(narrowed.problems))
    if await services.db.read(store.count_up_to, narrowed, member.scope, most=MOST_AT_ONCE) <= MOST_AT_ONCE:
        return await _answer_file(services, narrowed, member.scope, suffix)
    draft = bulk_store.Draft(
        kind=bulk_store.ORDERS,
        selection=order_export.selection_of(narrowed),
        choice={"suffix": suffix},
        by=member.userid,
        by_name=member.name,
        reach=member.scope.reach,
        once=f"{form.get('once', '')}:{suffix}"[:64] if form.get("once") else secrets.token_urlsafe(16),
    )
    job_id = await services.db.write(bulk_store.add_job, draft, now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/orders/files/{job_id}")


async def _answer_file(services: Services, narrowed: filters.Narrowed, scope: Scope, suffix: str) -> web.Response:
    with tempfile.TemporaryDirectory(prefix="scrm-") as folder:
        path = Path(folder) / f"orders.{suffix}"
        async with opened_sheet(path, suffix, "订单") as sheet:
            sheet.write(order_export.HEADING)
            async for rows in order_export.read(services, narrowed, scope):
                await asyncio.to_thread(sheet.write_all, rows)
        # An open file is there until it is read, whatever becomes of its name.
        body = await asyncio.to_thread(path.open, "rb")
    today = services.clock.now().astimezone(services.settings.shop.zone).date()
    return web.Response(body=body, headers=_headers(f"orders-{today}", suffix))


def _headers(name: str, suffix: str) -> dict[str, str]:
    return {
        "Content-Disposition": f'attachment; filename="{name}.{suffix}"',
        "Content-Type": TYPES[suffix],
        "Cache-Control": "no-store",
    }


@routes.get("/console/orders/files")
@for_managers
async def show_files(request: web.Request) -> web.StreamResponse:
    """Everybody's for those who reach everybody, else one's own."""
    member, before = request[MANAGER], before_of(request)
    whose = "" if member.scope.is_whole else member.userid
    rows = await request.app[SERVICES].db.read(
        bulk_store.list_jobs, whose, of_orders=True, before=before, limit=store.PAGE
    )
    last = rows[-1].id if len(rows) == store.PAGE else None
    return await page(request, "order_files.html", active="orders", rows=rows, states=STATES, before=last, told=_told)


@routes.get(_FILE)
@for_managers
async def show_file(request: web.Request) -> web.StreamResponse:
    """Its progress alone where the page asks for it again."""
    job = await request.app[SERVICES].db.read(_mine, request)
    values: dict[str, Any] = {"job": job, "states": STATES, "address": f"/console/orders/files/{job.id}", "told": _told}
    if not request.headers.get("HX-Request"):
        return await page(request, "order_file.html", active="orders", **values)
    if job.state in bulk_store.OPEN:
        return render(request, "console/bulk_progress.html", member=request[MANAGER], **values)
    return web.Response(headers={"HX-Refresh": "true"})


@routes.post(_FILE + "/cancel")
@for_managers
async def cancel(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]

    def stop(conn: Connection) -> int:
        job = _mine(conn, request)
        if not bulk_store.cancel(conn, job.id, now=services.clock.now()):
            raise Conflict("这次导出已经结束，不能取消")
        return int(job.id)

    raise web.HTTPSeeOther(f"/console/orders/files/{await services.db.write(stop)}")


@routes.get(_FILE + "/export")
@for_managers
async def download(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    job = await services.db.read(_mine, request)
    path = folder_of(services) / job.file
    if not job.file or not path.is_file():
        raise NotFound("没有这个文件，可能已过 7 天。请重新导出")
    return web.FileResponse(path, headers=_headers(f"orders-{job.id}", job.choice["suffix"]))


def _mine(conn: Connection, request: web.Request) -> Row[Any]:
    """The file of the address; somebody else's only for those who reach everybody."""
    job, member = bulk_store.get_job(conn, int(request.match_info["id"])), request[MANAGER]
    if job.kind != bulk_store.ORDERS:
        raise NotFound("没有这个订单文件，可能已超过 90 天")
    if job.by != member.userid and not member.scope.is_whole:
        raise Forbidden("这是同事导出的文件，你的角色只能看自己的")
    return job


def _told(job: Row[Any]) -> str:
    """By what the orders of a file were chosen, in a few words."""
    wanted = filters.read_text(job.selection["query"])
    parts = (
        f"{wanted.since} 至 {wanted.until}" if wanted.since else "",
        f"“{wanted.q}”" if wanted.q else "",
        filters.STATES.get(wanted.state, ""),
        words.channel(wanted.channel) if wanted.channel else "",
        filters.ROUTES.get(wanted.route, ""),
        _paid_words(wanted.paid_from, wanted.paid_to),
    )
    return " · ".join(each for each in parts if each)


def _paid_words(least: str, most: str) -> str:
    if least and most:
        return f"实付 {least} 至 {most} 元"
    if least:
        return f"实付 {least} 元起"
    return f"实付 {most} 元以内" if most else ""


def _narrowed(request: web.Request) -> filters.Narrowed:
    return _narrow(request.app[SERVICES], filters.read(request.query))


def _narrow(services: Services, wanted: filters.Wanted) -> filters.Narrowed:
    return filters.narrow(wanted, services.settings.shop.zone, services.vault.lookup, services.clock.now())
