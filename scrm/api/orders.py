"""POST /api/v1/orders: orders from any system that knows our canonical model; GET finds them by number."""

import asyncio
from datetime import datetime
from typing import Any

from aiohttp import web

from scrm.commerce import store
from scrm.commerce.canonical import Order, read_items, read_order, unknown_fields
from scrm.db import Priority
from scrm.errors import Invalid, ScrmError
from scrm.services import SERVICES, Services

routes = web.RouteTableDef()

BODY_LIMIT = 16 * 1024 * 1024
_CHUNK = 200
_PRIVATE = ("receiver_sealed", "buyer_phone_lookup", "no_tail", "phone_tail", "digest", "id", "person_id", "version")


class TooLarge(ScrmError):
    """The body is beyond the limit."""

    status = 413
    code = "too_large"


@routes.post("/api/v1/orders")
async def save_orders(request: web.Request) -> web.Response:
    """A JSON list of at most 1,000 canonical orders (docs/import.md); answers one result per item, in order.

    200 even when some are rejected: each item says `created`, `updated`, `unchanged`, `stale` or `rejected`.
    """
    services = request.app[SERVICES]
    results = await asyncio.to_thread(_read, await _body(request))
    good = [(index, order) for index, (order, _) in enumerate(results) if order is not None]
    for start in range(0, len(good), _CHUNK):
        chunk = good[start : start + _CHUNK]
        saved = await services.db.write_as(
            Priority.WORK,
            store.save_orders,
            [order for _, order in chunk],
            now=services.clock.now(),
            vault=services.vault,
            route="api",
        )
        for (index, _), one in zip(chunk, saved, strict=True):
            results[index][1].update(result=one.result, id=one.order_id, person_id=one.person_id)
    answers = [answer for _, answer in results]
    return web.json_response({"items": answers, "counts": _count(answers)})


@routes.get("/api/v1/orders")
async def find_orders(request: web.Request) -> web.Response:
    """Canonical orders by `order_no`, and `channel` where several use the same number."""
    order_no = request.query.get("order_no", "").strip()
    if not order_no:
        raise Invalid("缺少参数 order_no：请给出订单号，如 /api/v1/orders?channel=taobao&order_no=3200…")
    services: Services = request.app[SERVICES]
    views = await services.db.read(store.find_orders, request.query.get("channel", "").strip() or None, order_no)
    return web.json_response({"items": [describe(view) for view in views]})


async def _body(request: web.Request) -> bytes:
    """The body, up to a limit of its own: a thousand orders are more than any other request."""
    if (request.content_length or 0) > BODY_LIMIT:
        raise _too_large()
    body = bytearray()
    async for block in request.content.iter_any():
        body += block
        if len(body) > BODY_LIMIT:
            raise _too_large()
    return bytes(body)


def _too_large() -> TooLarge:
    return TooLarge(f"请求体超过 {BODY_LIMIT >> 20} MB，请分批发送（每批最多 1000 个订单）")


def _read(body: bytes) -> list[tuple[Order | None, dict[str, Any]]]:
    """Each item as an order, or as the answer that says why it is none."""
    read: list[tuple[Order | None, dict[str, Any]]] = []
    for index, item in enumerate(read_items(body)):
        order_no = item.get("order_no") if isinstance(item, dict) else None
        answer: dict[str, Any] = {"index": index, "order_no": order_no}
        try:
            order = read_order(item)
        except Invalid as error:
            read.append((None, answer | {"result": "rejected", "error": error.text}))
            continue
        if unknown := unknown_fields(item):
            answer["ignored"] = unknown[:20]
        read.append((order, answer))
    return read


def _count(answers: list[dict[str, Any]]) -> dict[str, int]:
    counts = dict.fromkeys(("created", "updated", "unchanged", "stale", "rejected"), 0)
    for answer in answers:
        counts[answer["result"]] += 1
    return counts


def describe(view: store.OrderView) -> dict[str, Any]:
    """An order as the API shows it: the canonical fields, with private values masked."""
    row = view.row
    shown = {name: _plain(value) for name, value in row.items() if name not in _PRIVATE}
    shown |= {"id": row["id"], "person_id": row["person_id"]}
    for name in ("lines", "payments", "shipments", "refunds"):
        shown[name] = [{key: _plain(value) for key, value in child.items()} for child in getattr(view, name)]
    return shown


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
