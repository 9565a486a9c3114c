"""Which events an order has come to, and how each is told: pure."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from scrm.commerce.merge import RANK, REFUND_OPEN, Row
from scrm.commerce.totals import is_purchase
from scrm.events import Event

HISTORY = timedelta(days=3)
_MOST_CODES = 20


def event_key(row: Row) -> str:
    """channel/shop_key/order_no, the business key of an order's events; at most 150 characters."""
    return _short(f"{row['channel']}/{row['shop_key']}/{row['order_no']}", 150)


def reached(row: Row, refunds: list[Row]) -> set[tuple[str, str]]:
    """(event name, refund number or '') of everything that has happened to this order so far."""
    told: set[tuple[str, str]] = set()
    if not _is_stub(row):
        told.add(("order.created", ""))
    if is_purchase(row):
        told.add(("order.paid", ""))
    if row["shipped_at"] is not None and row["status"] in ("shipped", "completed"):
        told.add(("order.shipped", ""))
    if row["delivered_at"] is not None:
        told.add(("order.delivered", ""))
    if row["status"] == "completed":
        told.add(("order.completed", ""))
    if RANK[row["status"]] >= RANK["cancelled"]:
        told.add(("order.closed", ""))
    if row["status"] == "cancelled":
        told.add(("order.cancelled", ""))
    for case in refunds:
        number, status = case["refund_no"], case["status"]
        if status == "unknown":
            continue
        told.add(("refund.opened", number))
        if status in _AGREED:
            told.add(("refund.agreed", number))
        if status not in REFUND_OPEN:
            told.add(("refund.closed", number))
        if status in _ENDS:
            told.add((_ENDS[status], number))
    return told


def _is_stub(row: Row) -> bool:
    """A refund or a parcel came before its order: nobody has told of the order itself yet."""
    return row["status"] == "unknown" and row["ordered_at"] is None and not row["raw_status"]


def is_history(row: Row, now: datetime) -> bool:
    """Whether all of an order lies behind us: it comes from a file, or nothing happened to it for three days."""
    moments = [row[name] for name in TIME_OF.values() if row[name] is not None]
    return row["route"] == "file" or (bool(moments) and max(moments) < now - HISTORY)


def told_of_history(reached: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """What is worth telling of an old order that is seen for the first time: that it was paid, and how it ended."""
    if ("order.paid", "") not in reached:
        return reached
    return {told for told in reached if told[0] in _HISTORY}


_AGREED = frozenset(("agreed", "waiting_return", "returned_in_transit", "refunding"))
_ENDS = {"refunded": "refund.done", "rejected": "refund.refused"}
_HISTORY = frozenset(
    ("order.paid", "order.cancelled", "order.closed", "refund.refused", "refund.done", "refund.closed")
)
_SEQUENCE = (
    "order.created",
    "order.paid",
    "order.shipped",
    "order.delivered",
    "refund.opened",
    "refund.agreed",
    "refund.refused",
    "refund.done",
    "refund.closed",
    "order.completed",
    "order.cancelled",
    "order.closed",
)
# What is told of parcels, too.
OF_PARCELS = frozenset(("order.shipped", "order.delivered"))
TIME_OF = {
    "order.created": "ordered_at",
    "order.paid": "paid_at",
    "order.shipped": "shipped_at",
    "order.delivered": "delivered_at",
    "order.completed": "completed_at",
    "order.cancelled": "closed_at",
    "order.closed": "closed_at",
}


def tell(
    row: Row, lines: list[Row], shipments: list[Row], refunds: list[Row], news: set[tuple[str, str]], now: datetime
) -> Iterator[Event]:
    """The events for `news`, in the order in which such things happen; `row` has its id and its person."""
    if not news:
        return
    key = event_key(row)
    common = {"order_id": row["id"], **facts_of(row, lines)}
    cases = {case["refund_no"]: case for case in refunds}
    for name, number in in_sequence(news):
        facts = dict(common)
        if number:
            facts |= _case_facts(cases[number])
        elif name in OF_PARCELS and shipments:
            facts |= {"carrier": shipments[0]["carrier_name"], "parcel_tail": shipments[0]["tracking_no"][-4:]}
            facts["parcels"] = len(shipments)
        occurred_at = _occurred_at(name, row, cases.get(number)) or now
        if row["route"] == "file" or occurred_at < now - HISTORY:
            facts["historic"] = True
        once = once_of(name, key, number)
        yield Event(name=name, occurred_at=occurred_at, person_id=row["person_id"], key=key, facts=facts, once=once)


def in_sequence(news: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """In the order in which such things happen."""
    return sorted(news, key=lambda told: (_SEQUENCE.index(told[0]), told[1]))


def once_of(name: str, key: str, number: str = "") -> str:
    """The key under which this is told once."""
    return _short(f"{name}:{key}:{number}" if number else f"{name}:{key}", 200)


def facts_of(row: Row, lines: list[Row]) -> dict[str, Any]:
    """What every event of an order says of it."""
    return {
        "order_no": row["order_no"],
        "channel": row["channel"],
        "shop_key": row["shop_key"],
        "status": row["status"],
        "paid_fen": row["paid_fen"],
        "payable_fen": row["payable_fen"],
        "amount_fen": row["payable_fen"] or row["paid_fen"],  # of an after-sale case its own
        "title": lines[0]["title"] if lines else "",
        "lines": len(lines),
        **_goods(lines),
    }


def _goods(lines: list[Row]) -> dict[str, Any]:
    """The line that most was paid for, as playbooks of one product know it, and the codes of all."""
    if not lines:
        return {}
    main = lines[0] if len(lines) == 1 else max(lines, key=lambda line: (not line["is_gift"], line["paid_fen"]))
    codes = [code for line in lines if (code := line["merchant_sku"] or line["platform_sku_id"])]
    said = {
        "sku": main["merchant_sku"] or main["platform_sku_id"],
        "product_id": main["platform_item_id"],
        "qty": main["qty"],
        "skus": list(dict.fromkeys(codes))[:_MOST_CODES],
    }
    return {name: value for name, value in said.items() if value}


def _case_facts(case: Row) -> dict[str, Any]:
    return {name: case[name] for name in ("refund_no", "type", "amount_fen", "reason")} | {
        "refund_status": case["status"]
    }


def _occurred_at(name: str, row: Row, case: Row | None) -> datetime | None:
    moment: datetime | None
    if case is not None:
        moment = case["created_at"] if name == "refund.opened" else case["finished_at"] or case["created_at"]
    else:
        moment = row[TIME_OF[name]]
    return moment or row["platform_updated_at"]


def _short(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit - 41]}#{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()}"
