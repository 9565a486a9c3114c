"""POST /api/v1/orders: orders from any system that knows our canonical model; GET finds them by number."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection

from scrm.access.scope import may_reach
from scrm.api.auth import CALLER
from scrm.api.operation import Each, operation
from scrm.api.parameters import PAGED_BY_KEY, Moment, Page, Text, page_of_few
from scrm.commerce import order_views, store
from scrm.commerce.canonical import MOST_ORDERS, Order, read_items, read_order, unknown_fields
from scrm.db import Priority
from scrm.errors import Invalid, ScrmError
from scrm.services import SERVICES, Services

routes = web.RouteTableDef()

BODY_LIMIT = 16 * 1024 * 1024
_CHUNK = 200

CHANNEL = Text("channel", "平台，如 taobao、mall", most=24)
ORDER_NO = Text("order_no", "订单号", is_required=True, most=80)

OrderResult = Literal["created", "updated", "unchanged", "stale", "rejected"]


class OrderAnswer(Struct, kw_only=True):
    """What became of one order of the list; `error` says why it was rejected, `ignored` which names we do not know."""

    index: int
    order_no: Any
    result: OrderResult = "rejected"
    id: int | UnsetType | None = UNSET
    person_id: int | UnsetType | None = UNSET
    error: str | UnsetType = UNSET
    ignored: list[str] | UnsetType = UNSET


class OrderCounts(Struct):
    """How many of each result."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: int = 0


class SavedOrders(Struct):
    """One result for each order, in their order."""

    items: list[OrderAnswer]
    counts: OrderCounts


class OrderLine(Struct, kw_only=True):
    """One kind of goods."""

    line_key: str
    position: int
    platform_item_id: str
    platform_sku_id: str
    merchant_sku: str
    title: str
    spec: str
    qty: int
    unit_price_fen: int
    discount_fen: int
    paid_fen: int
    is_gift: bool
    refunded_qty: int
    refunded_fen: int
    line_status: str
    image_url: str


class OrderPayment(Struct, kw_only=True):
    """One payment."""

    pay_key: str
    method: str
    amount_fen: int
    paid_at: Moment | None
    phase: str


class OrderShipment(Struct, kw_only=True):
    """One parcel."""

    carrier_code: str
    carrier_name: str
    tracking_no: str
    shipped_at: Moment | None
    delivered_at: Moment | None
    line_keys: list[str]
    source: str
    state: str
    state_at: Moment | None


class OrderRefund(Struct, kw_only=True):
    """One after-sale case."""

    refund_no: str
    type: str
    status: str
    amount_fen: int
    reason: str
    created_at: Moment | None
    finished_at: Moment | None


class FoundOrder(Struct, kw_only=True):
    """The canonical fields, with private values masked."""

    id: int
    person_id: int | None
    channel: str
    shop_key: str
    order_no: str
    bound_by: str
    parent_order_no: str
    status: str
    payment_status: str
    fulfillment_status: str
    aftersale_status: str
    raw_status: str
    currency: str
    goods_fen: int
    freight_fen: int
    discount_fen: int
    platform_discount_fen: int
    payable_fen: int
    paid_fen: int
    refunded_fen: int
    ordered_at: Moment | None
    paid_at: Moment | None
    shipped_at: Moment | None
    delivered_at: Moment | None
    completed_at: Moment | None
    closed_at: Moment | None
    platform_updated_at: Moment | None
    buyer_unionid: str
    buyer_name_mask: str
    buyer_ref: dict[str, Any]
    receiver_mask: str
    buyer_note: str
    seller_note: str
    is_gift: bool
    is_test: bool
    route: str
    first_seen_at: Moment
    last_seen_at: Moment
    lines: list[OrderLine]
    payments: list[OrderPayment]
    shipments: list[OrderShipment]
    refunds: list[OrderRefund]


class TooLarge(ScrmError):
    """The body is beyond the limit."""

    status = 413
    code = "too_large"


@routes.post("/api/v1/orders")
@operation(
    "批量写入订单，幂等；旧状态不会覆盖新状态",
    says="每条订单的结果；有几条被拒收也是 200",
    body=Each(Order, MOST_ORDERS),
    errors=(413,),
)
async def save_orders(request: web.Request) -> SavedOrders:
    """At most 1,000 canonical orders (docs/import.md)."""
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
            answer = results[index][1]
            answer.result, answer.id, answer.person_id = one.result, one.order_id, one.person_id
    answers = [answer for _, answer in results]
    return SavedOrders(answers, _count(answers))


@routes.get("/api/v1/orders")
@operation("按平台与单号查订单；不同店铺可能用同一个单号", query=(CHANNEL, ORDER_NO, *PAGED_BY_KEY), is_scoped=True)
async def find_orders(request: web.Request) -> Page[FoundOrder]:
    order_no, channel = ORDER_NO.read(request), CHANNEL.read(request) or None
    services: Services = request.app[SERVICES]
    scope = request[CALLER].scope

    def look(conn: Connection) -> list[order_views.OrderView]:
        views = order_views.find_orders(conn, channel, order_no)
        return [view for view in views if may_reach(conn, scope, view.row["person_id"] or 0)]

    views = await services.db.read(look)
    return page_of_few(request, views, describe, lambda view: f"{view.row['id']:018d}")


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


def _read(body: bytes) -> list[tuple[Order | None, OrderAnswer]]:
    """Each item as an order, or as the answer that says why it is none."""
    read: list[tuple[Order | None, OrderAnswer]] = []
    for index, item in enumerate(read_items(body)):
        order_no = item.get("order_no") if isinstance(item, dict) else None
        answer = OrderAnswer(index=index, order_no=order_no)
        try:
            order = read_order(item)
        except Invalid as error:
            answer.error = error.text
            read.append((None, answer))
            continue
        if unknown := unknown_fields(item):
            answer.ignored = unknown[:20]
        read.append((order, answer))
    return read


def _count(answers: list[OrderAnswer]) -> OrderCounts:
    counts = Counter(answer.result for answer in answers)
    return msgspec.convert(dict(counts), OrderCounts)


_PARTS: Mapping[str, type[Struct]] = {
    "lines": OrderLine,
    "payments": OrderPayment,
    "shipments": OrderShipment,
    "refunds": OrderRefund,
}


def describe(view: order_views.OrderView) -> FoundOrder:
    """The columns that the answer names, and no others."""
    shown = {name: view.row[name] for name in FoundOrder.__struct_fields__ if name not in _PARTS}
    parts: dict[str, Any] = {name: [_part(kind, row) for row in getattr(view, name)] for name, kind in _PARTS.items()}
    return FoundOrder(**shown, **parts)


def _part(kind: type[Struct], row: Mapping[str, Any]) -> Struct:
    return kind(**{name: row[name] for name in kind.__struct_fields__})
