"""Orders for rehearsals: each event of a test becomes the snapshot a shop would send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scrm.commerce.canonical import Order, read_order
from scrm.sop.rehearsal.tests import WrongTest

PAID_FEN = 25900


@dataclass(slots=True)
class _Told:
    """What has happened to one order so far: event -> when, in ISO 8601."""

    at: dict[str, str]
    # What the author says of it: amount (yuan), lines, channel, carrier; of its after-sale: reason, type.
    said: dict[str, Any] = field(default_factory=dict)


class RehearsedOrders:
    """Keeps what was told of each order, so that a later event adds to the earlier ones."""

    EVENTS = (
        "order.created",
        "order.paid",
        "order.shipped",
        "order.delivered",
        "order.completed",
        "order.closed",
        "refund.opened",
        "refund.closed",
    )

    def __init__(self, unionid: str) -> None:
        self._unionid = unionid
        self._orders: dict[str, _Told] = {}

    def snapshot(self, event: str, key: str, now: datetime, said: Mapping[str, Any] | None = None) -> Order:
        """The order after `event`; without a key, a new order is created or paid, and else the latest one meant.

        `said` is what the author tells of it, and stays told: amount in yuan, lines [{title, sku, amount, count}].
        """
        order_no = key or self._choose(event)
        told = self._orders.setdefault(order_no, _Told({}))
        for implied in _IMPLIED[event]:
            told.at.setdefault(implied, now.isoformat())
        told.at.setdefault(event, now.isoformat())
        told.said |= said or {}
        return read_order({**self._facts(order_no, told), "platform_updated_at": now.isoformat()})

    def _choose(self, event: str) -> str:
        latest = next(reversed(self._orders), "")
        is_new = event == "order.created" or (event == "order.paid" and "order.paid" in self._at(latest))
        return f"R{len(self._orders) + 1:04}" if is_new or not latest else latest

    def _at(self, order_no: str) -> dict[str, str]:
        return self._orders[order_no].at if order_no else {}

    def _facts(self, order_no: str, told: _Told) -> dict[str, Any]:
        at = told.at
        times = {field: at[event] for event, field in _TIMES.items() if event in at}
        parcel = {key: times[key] for key in ("shipped_at", "delivered_at") if key in times}
        sent = {"tracking_no": f"SF{order_no}", "carrier_name": str(told.said.get("carrier", "顺丰速运"))}
        goods = told.said.get("lines") or [_goods_of(told.said)]
        if not isinstance(goods, list):
            raise WrongTest(f"lines 要写成列表，例如 [{{title: 面霜, amount: 299}}]，写的是“{goods}”")
        lines = [_line(number, each) for number, each in enumerate(goods, 1)]
        total = sum(line["paid_fen"] for line in lines)
        if "amount" in told.said:
            total = fen_of(told.said["amount"])
            lines = [{**line, "paid_fen": total // len(lines)} for line in lines] if "lines" not in told.said else lines
        refund = {"refund_no": f"T{order_no}", "status": "refunded" if "refund.closed" in at else "requested"}
        refund |= {key: str(told.said[key]) for key in ("reason", "type") if key in told.said}
        refund |= {"amount_fen": total}
        return {
            "channel": str(told.said.get("channel", "wxstore")),
            "order_no": order_no,
            "status": next((status for event, status in _STATUSES if event in at), "pending_payment"),
            "buyer_ref": {"wx_unionid": self._unionid},
            "payable_fen": total,
            "paid_fen": total if "order.paid" in at else 0,
            "lines": lines,
            "shipments": [sent | parcel] if parcel else [],
            "refunds": [{**refund, "created_at": at["refund.opened"]}] if "refund.opened" in at else [],
            **times,
        }


def fen_of(yuan: Any) -> int:
    """Money of authors is in yuan; raises WrongTest."""
    try:
        return round(float(yuan) * 100)
    except (TypeError, ValueError):
        raise WrongTest(f"amount 要写成元，例如 299，写的是“{yuan}”") from None


def _goods_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of an order of one line the author may name the goods as a trigger's `where` does."""
    return {key: said[key] for key in ("title", *_GOODS) if key in said}


def _line(number: int, said: Any) -> dict[str, Any]:
    said = said if isinstance(said, Mapping) else {"title": str(said)}
    line = {
        "line_key": str(number),
        "title": str(said.get("title", "舒缓保湿面霜 50g")),
        "paid_fen": fen_of(said["amount"]) if "amount" in said else PAID_FEN,
        "qty": int(said.get("count", 1)),
    }
    return line | {_GOODS[key]: str(said[key]) for key in _GOODS if key in said}


_GOODS = {"product_id": "platform_item_id", "sku": "merchant_sku"}
_TIMES = {
    "order.created": "ordered_at",
    "order.paid": "paid_at",
    "order.shipped": "shipped_at",
    "order.delivered": "delivered_at",
    "order.completed": "completed_at",
    "order.closed": "closed_at",
}
_STATUSES = (
    ("order.closed", "closed"),
    ("order.completed", "completed"),
    ("order.delivered", "shipped"),
    ("order.shipped", "shipped"),
    ("order.paid", "paid"),
)
# What must have happened before.
_BOUGHT = ("order.created", "order.paid")
_IMPLIED: dict[str, tuple[str, ...]] = {
    "order.created": (),
    "order.paid": ("order.created",),
    "order.shipped": _BOUGHT,
    "order.delivered": (*_BOUGHT, "order.shipped"),
    "order.completed": (*_BOUGHT, "order.shipped", "order.delivered"),
    "order.closed": ("order.created",),
    "refund.opened": _BOUGHT,
    "refund.closed": (*_BOUGHT, "refund.opened"),
}
