"""订单: everybody's orders by time, state, channel, source and amount, with what they add up to."""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.access.scope import Scope
from scrm.console import words
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.playbooks import names_of
from scrm.customer_lists import order_filters as filters
from scrm.customer_lists import order_store as store
from scrm.customer_lists.columns import Cell
from scrm.customer_lists.export import SUFFIXES, TYPES, Sheet, open_sheet
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES, Services
from web.render import render

routes = web.RouteTableDef()

MOST_EXPORTED, _AT_ONCE = 100_000, 1_000
_HEADING = (
    *("订单号", "渠道", "店铺", "客户", "客户编号", "状态", "售后", "下单时间"),
    *("实付（元）", "退款（元）", "来源", "测试单"),
)


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
        **await services.db.read(look),
    )


@routes.get("/console/orders/sums")
@for_managers
async def sums(request: web.Request) -> web.StreamResponse:
    """What they add up to, asked for when the rows are there already."""
    found = await request.app[SERVICES].db.read(store.sum_up, _narrowed(request), request[MANAGER].scope)
    return render(request, "console/orders_sums.html", sums=found, most=store.MOST_SUMMED, words=words)


@routes.get("/console/orders/export.{suffix}")
@for_managers
async def export(request: web.Request) -> web.StreamResponse:
    """What the list shows, all of it, as a file for a spreadsheet."""
    services, scope, suffix = request.app[SERVICES], request[MANAGER].scope, request.match_info["suffix"]
    narrowed = _narrowed(request)
    if suffix not in SUFFIXES:
        raise NotFound(f"没有这种文件：{suffix[:10]}，可以导出 xlsx 或 csv")
    if narrowed.problems:
        raise Invalid("；".join(narrowed.problems))
    if await services.db.read(store.count_up_to, narrowed, scope, most=MOST_EXPORTED) > MOST_EXPORTED:
        raise Invalid(f"一次最多导出 {MOST_EXPORTED // 10_000} 万单，现在的条件超过了，请缩短下单时间，分几次导出")
    with tempfile.TemporaryDirectory(prefix="scrm-") as folder:
        path = Path(folder) / f"orders.{suffix}"
        with open_sheet(path, suffix, "订单") as sheet:
            await _write(services, narrowed, scope, sheet)
        # An open file is there until it is read, whatever becomes of its name.
        body = await asyncio.to_thread(path.open, "rb")
    today = services.clock.now().astimezone(services.settings.shop.zone).date()
    headers = {
        "Content-Disposition": f'attachment; filename="orders-{today}.{suffix}"',
        "Cache-Control": "no-store",
    }
    return web.Response(body=body, content_type=TYPES[suffix], headers=headers)


async def _write(services: Services, narrowed: filters.Narrowed, scope: Scope, sheet: Sheet) -> None:
    zone = services.settings.shop.zone

    def look(conn: Connection, before: str) -> tuple[store.Found, Mapping[int, str]]:
        found = store.find_page(conn, narrowed, scope, before=before, limit=_AT_ONCE)
        return found, names_of(conn, {row.person_id for row in found.rows if row.person_id is not None})

    def keep(rows: Sequence[Row[Any]], names: Mapping[int, str]) -> None:
        for row in rows:
            sheet.write(_line(row, names, zone))

    sheet.write(_HEADING)
    before = ""
    while True:
        found, names = await services.db.read(look, before)
        await asyncio.to_thread(keep, found.rows, names)
        if not (before := found.before):
            return


def _line(row: Row[Any], names: Mapping[int, str], zone: ZoneInfo) -> list[Cell]:
    case = words.aftersale_state(row.aftersale_status)
    return [
        row.order_no,
        words.channel(row.channel),
        row.shop_key,
        names.get(row.person_id, "未知昵称") if row.person_id else "",
        row.person_id,
        words.order_state(row.status, row.delivered_at, row.raw_status).text,
        case.text if case else "",
        f"{row.ordered_at.astimezone(zone):%Y-%m-%d %H:%M:%S}" if row.ordered_at else "",
        row.paid_fen / 100,
        row.refunded_fen / 100,
        filters.ROUTES.get(row.route, row.route),
        "是" if row.is_test else "",
    ]


def _narrowed(request: web.Request) -> filters.Narrowed:
    services = request.app[SERVICES]
    zone, lookup = services.settings.shop.zone, services.vault.lookup
    return filters.narrow(filters.read(request.query), zone, lookup, services.clock.now())
