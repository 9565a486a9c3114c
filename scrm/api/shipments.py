"""POST /api/v1/shipments: warehouses and express companies tell where parcels are."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection, select

from scrm.api.operation import Each, operation
from scrm.clock import is_plausible
from scrm.commerce import store
from scrm.commerce.canonical import MOST_ORDERS, Order, Shipment, read_items
from scrm.commerce.models import order_line, orders, shipment
from scrm.db.vault import Vault
from scrm.errors import Invalid
from scrm.http import require_keepable
from scrm.services import SERVICES

routes = web.RouteTableDef()

_MOMENT = Annotated[datetime, Meta(tz=True)]
State = Literal["shipped", "in_transit", "out_for_delivery", "delivered", "returned", "exception"]


class ParcelNews(Struct, kw_only=True):
    """One parcel's news. `order_no` may be left out once the tracking number is known; then all its orders move on."""

    tracking_no: Annotated[str, Meta(min_length=1, max_length=80)]
    state: State
    happened_at: _MOMENT
    channel: Annotated[str, Meta(pattern=r"^([a-z][a-z0-9_]{0,23})?$")] = ""
    shop_key: Annotated[str, Meta(max_length=80)] = ""
    order_no: Annotated[str, Meta(max_length=80)] = ""
    carrier_code: Annotated[str, Meta(max_length=40)] = ""
    carrier_name: Annotated[str, Meta(max_length=80)] = ""
    # The goods in this parcel; empty: not known.
    line_keys: list[Annotated[str, Meta(max_length=120)]] = []


class ParcelAnswer(Struct, kw_only=True):
    """What became of one parcel's news; `unknown`: no order has this number, send order_no and channel."""

    index: int
    tracking_no: Any
    result: Literal["updated", "unchanged", "unknown", "rejected"] = "rejected"
    error: str | UnsetType = UNSET
    orders: list[str] | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET


class SavedParcels(Struct):
    """One result for each, in their order."""

    items: list[ParcelAnswer]


@routes.post("/api/v1/shipments")
@operation(
    "仓库、快递推送物流状态：已发货、运输中、派送中、已签收、退回、异常；可乱序、可重复",
    says="每项的结果；有几项被拒收也是 200",
    body=Each(ParcelNews, MOST_ORDERS),
)
async def save_shipments(request: web.Request) -> SavedParcels:
    """At most 1,000 parcels' news, in any order."""
    services = request.app[SERVICES]
    answers: list[ParcelAnswer] = []
    good: list[tuple[int, ParcelNews]] = []
    for index, item in enumerate(read_items(await request.read())):
        number = item.get("tracking_no") if isinstance(item, dict) else None
        answers.append(ParcelAnswer(index=index, tracking_no=number))
        try:
            good.append((index, _read(item)))
        except Invalid as error:
            answers[index].error = error.text
    results = await services.db.write(
        save_told, [told for _, told in good], now=services.clock.now(), vault=services.vault
    )
    for (index, _), result in zip(good, results, strict=True):
        answers[index] = msgspec.structs.replace(answers[index], **result)
    return SavedParcels(answers)


def _read(item: Any) -> ParcelNews:
    try:
        told = msgspec.convert(item, ParcelNews)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"读不懂（{error}）。每一项应为 {{tracking_no, state, happened_at}}，首次还要 channel 与 order_no；"
            f"state 为 {'、'.join(State.__args__)} 之一，时间须带时区"  # type: ignore[attr-defined]
        ) from None
    if not is_plausible(told.happened_at):
        raise Invalid(f"happened_at：时间应在 2000 年到 2099 年之间，收到 {told.happened_at.isoformat()}")
    if told.order_no and not told.channel:
        raise Invalid("channel：有 order_no 时必须写明渠道，如 taobao、mall")
    require_keepable(msgspec.to_builtins(told))
    return told


def save_told(conn: Connection, news: list[ParcelNews], *, now: datetime, vault: Vault) -> list[dict[str, Any]]:
    """Into the same upsert as every order: states only go on, times are the first that were told."""
    results: list[dict[str, Any]] = []
    for told in news:
        keys = [(told.channel, told.shop_key, told.order_no)] if told.order_no else _orders_of(conn, told.tracking_no)
        if not keys:
            results.append({"result": "unknown", "error": "没有订单使用这个快递单号，请同时给出 channel 与 order_no"})
            continue
        batch = [_order(conn, told, key) for key in keys]
        saved = store.save_orders(conn, batch, now=now, vault=vault, route="push")
        told_events = sorted({name for one in saved for name in one.events})
        changed = any(one.result in ("created", "updated") for one in saved) or bool(told_events)
        results.append(
            {
                "result": "updated" if changed else "unchanged",
                "orders": [key[2] for key in keys],
                "events": told_events,
            }
        )
    return results


def _orders_of(conn: Connection, tracking_no: str) -> list[tuple[str, str, str]]:
    """Several orders may lie in one parcel."""
    found = (
        select(orders.c.channel, orders.c.shop_key, orders.c.order_no)
        .join(shipment, shipment.c.order_id == orders.c.id)
        .where(shipment.c.tracking_no == tracking_no)
        .order_by(orders.c.id)
        .limit(50)
    )
    return [(row.channel, row.shop_key, row.order_no) for row in conn.execute(found)]


def _order(conn: Connection, told: ParcelNews, key: tuple[str, str, str]) -> Order:
    channel, shop_key, order_no = key
    parcel = Shipment(
        tracking_no=told.tracking_no,
        carrier_code=told.carrier_code,
        carrier_name=told.carrier_name,
        line_keys=told.line_keys,
        source="push",
        state=told.state,
        state_at=told.happened_at,
        shipped_at=told.happened_at if told.state == "shipped" else None,
        delivered_at=told.happened_at if told.state == "delivered" else None,
    )
    return Order(
        channel=channel,
        shop_key=shop_key,
        order_no=order_no,
        status=_status(conn, told, key),
        shipments=[parcel],
    )


def _status(conn: Connection, told: ParcelNews, key: tuple[str, str, str]) -> Any:
    """What a parcel on its way says of its order: sent, as far as its goods are known; nothing of one that is unknown."""
    channel, shop_key, order_no = key
    row = conn.execute(
        select(orders.c.id, orders.c.status).where(
            orders.c.order_no == order_no, orders.c.channel == channel, orders.c.shop_key == shop_key
        )
    ).one_or_none()
    if row is None or row.status not in ("paid", "partially_shipped"):
        return "unknown"
    lines = set(conn.execute(select(order_line.c.line_key).where(order_line.c.order_id == row.id)).scalars())
    parcels = conn.execute(select(shipment.c.tracking_no, shipment.c.line_keys).where(shipment.c.order_id == row.id))
    sent = {parcel.tracking_no: parcel.line_keys for parcel in parcels}
    sent[told.tracking_no] = told.line_keys or sent.get(told.tracking_no) or []
    covered = {line for keys in sent.values() for line in keys}
    if not all(sent.values()):
        # Some parcel does not say what is in it: what was cut up stays so until its source says more.
        return "shipped" if row.status == "paid" else "unknown"
    return "shipped" if lines <= covered else "partially_shipped"
