"""An ERP cuts a shop's order in pieces and joins several in one: what all pieces together say of an order. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from scrm.commerce.canonical import Order
from scrm.commerce.connectors.pull import Part
from scrm.commerce.merge import RANK

_MONEY = (
    "goods_fen",
    "freight_fen",
    "discount_fen",
    "platform_discount_fen",
    "payable_fen",
    "paid_fen",
    "refunded_fen",
)
_FIRST = ("ordered_at", "paid_at", "shipped_at")
_LAST = ("delivered_at", "completed_at", "closed_at")


def assemble(parts: Sequence[Part]) -> Order | None:
    """The order that these pieces make up; None while only pieces are known that were cut up or joined since."""
    whole = [part.order for part in parts if part.standing == "live"]
    whole = whole or [part.order for part in parts if part.standing == "cancelled"]
    if not whole:
        return None
    cut = [part.order for part in parts if part.standing == "gone"]
    newest = max(whole, key=lambda order: (order.version or 0, order.status))
    changes: dict[str, object] = {
        "status": _status(whole, cut),
        "version": max((part.order.version or 0 for part in parts), default=0) or None,
        "platform_updated_at": _extreme(max, (part.order.platform_updated_at for part in parts)),
        "buyer_ref": {name: value for order in whole for name, value in order.buyer_ref.items()},
        "receiver": next((order.receiver for order in whole if order.receiver is not None), None),
        "receiver_mask": next((order.receiver_mask for order in whole if order.receiver_mask), ""),
    }
    for name in _MONEY:
        known = [value for order in whole if (value := getattr(order, name)) is not None]
        changes[name] = sum(known) if known else None
    for name in _FIRST:
        changes[name] = _extreme(min, (getattr(order, name) for order in whole))
    for name in _LAST:
        moments = [getattr(order, name) for order in whole]
        changes[name] = max(moments) if all(moments) else None
    for name in ("lines", "payments", "shipments", "refunds"):
        told = [rows for order in whole if (rows := getattr(order, name)) is not None]
        changes[name] = [row for rows in told for row in rows] if told else None
    return msgspec.structs.replace(newest, **changes)


def _status(whole: Sequence[Order], cut: Sequence[Order]) -> str:
    """The furthest while nothing was sent, the least far once all is sent, `partially_shipped` between."""
    ranks = sorted((RANK[order.status], order.status) for order in whole)
    least, furthest = ranks[0], ranks[-1]
    if furthest[0] < RANK["partially_shipped"] or least[0] > RANK["completed"]:
        return furthest[1]
    moving = [(rank, status) for rank, status in ranks if rank <= RANK["completed"]]
    if moving[0][1] == "completed":
        return "completed"
    if moving[0][0] < RANK["shipped"] or _pieces(whole) < max(map(_count, cut), default=0):
        return "partially_shipped" if moving[-1][0] >= RANK["partially_shipped"] else moving[-1][1]
    return moving[0][1]


def _pieces(whole: Iterable[Order]) -> int:
    return sum(map(_count, whole))


def _count(order: Order) -> int:
    return sum(line.qty for line in order.lines or ())


def _extreme(choose: object, moments: Iterable[object]) -> object:
    known = [moment for moment in moments if moment is not None]
    return choose(known) if known else None  # type: ignore[operator]


def without_private(order: Order) -> Order:
    """What of a piece may be kept in clear beside the order."""
    return msgspec.structs.replace(order, buyer_ref={}, receiver=None, receiver_mask="", buyer_note="", seller_note="")
