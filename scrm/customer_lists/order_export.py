"""Orders as a file: a page of the list after the other, so that memory does not grow with them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from scrm.access.scope import Scope, scope_for
from scrm.commerce import words
from scrm.customer_lists import bulk_store, export, order_store
from scrm.customer_lists import order_filters as filters
from scrm.customer_lists.columns import Cell
from scrm.customer_lists.export import Rows
from scrm.errors import Invalid
from scrm.profiles.store import names_of
from scrm.services import Services

# A sheet of Excel has some rows more than that.
MOST = 1_000_000
_CHUNK = 1000
HEADING = (
    *("订单号", "渠道", "店铺", "客户", "客户编号", "状态", "售后", "下单时间"),
    *("实付（元）", "退款（元）", "来源", "测试单"),
)


async def run(services: Services, job: Row[Any]) -> None:
    """Write the file of a job; broken off it is begun anew, and is there only when it is whole."""
    if job.state != "running":
        return
    name = f"orders-{job.id}.{job.choice['suffix']}"
    narrowed = _narrowed(services, job.selection)
    scope = await services.db.read(scope_for, job.by, job.reach)
    total = await services.db.read(order_store.count_up_to, narrowed, scope, most=MOST)
    if total > MOST:
        raise Invalid(f"一次最多导出 {MOST // 10_000} 万单，这些条件超过了。请缩短下单时间，分几次导出")
    await services.db.write(bulk_store.change, job.id, total=total)
    chunks = read(services, narrowed, scope)
    written = await export.keep(services, job, name, "订单", HEADING, chunks)
    if written is not None:
        now = services.clock.now()
        done = {"state": "done", "file": name, "done": written, "total": written, "problem": "", "finished_at": now}
        await services.db.write(bulk_store.change, job.id, **done)


def selection_of(narrowed: filters.Narrowed) -> dict[str, Any]:
    """What a job keeps of the filters: the days as they are now, and a phone as its hash."""
    wanted, found = narrowed.wanted, {}
    if narrowed.since and narrowed.until:
        last = narrowed.until - timedelta(days=1)
        wanted = replace(wanted, since=str(narrowed.since.date()), until=str(last.date()))
    if narrowed.phone_lookup:
        wanted, found = replace(wanted, q="手机号"), {"phone_lookup": narrowed.phone_lookup}
    return {"query": wanted.query(), **found}


def _narrowed(services: Services, selection: Mapping[str, str]) -> filters.Narrowed:
    zone, lookup = services.settings.shop.zone, services.vault.lookup
    narrowed = filters.narrow(filters.read_text(selection["query"]), zone, lookup, services.clock.now())
    return replace(narrowed, phone_lookup=selection.get("phone_lookup", narrowed.phone_lookup))


async def read(services: Services, narrowed: filters.Narrowed, scope: Scope) -> AsyncIterator[Rows]:
    """All that fits as rows of a sheet, the newest first."""
    zone, before = services.settings.shop.zone, ""

    def look(conn: Connection, before: str) -> tuple[order_store.Found, Mapping[int, str]]:
        found = order_store.find_page(conn, narrowed, scope, before=before, limit=_CHUNK)
        return found, names_of(conn, {row.person_id for row in found.rows if row.person_id is not None})

    while True:
        found, names = await services.db.read(look, before)
        yield await asyncio.to_thread(_lines, found, names, zone)
        if not (before := found.before):
            return


def _lines(found: order_store.Found, names: Mapping[int, str], zone: ZoneInfo) -> Rows:
    return [_line(row, names, zone) for row in found.rows]


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
