"""How a snapshot of an order meets what we know already: pure rules, in whatever order snapshots arrive."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

Row = dict[str, Any]

# Who is believed when two sources disagree.
AUTHORITY = {"api": 4, "push": 3, "erp": 2, "file": 1, "manual": 0}
RANK = {
    "unknown": 0,
    "pending_payment": 10,
    "paid": 20,
    "partially_shipped": 30,
    "shipped": 40,
    "completed": 50,
    "cancelled": 60,
    "closed": 70,
}
_TERMINAL = ("cancelled", "closed")
_REFUND_RANK = {
    "unknown": 0,
    "requested": 10,
    "agreed": 20,
    "waiting_return": 30,
    "returned_in_transit": 40,
    "refunding": 50,
    "failed": 55,
    "rejected": 60,
    "cancelled": 70,
    "refunded": 90,
}
REFUND_OPEN = frozenset(status for status, rank in _REFUND_RANK.items() if 0 < rank <= 50)

# Where a parcel is; trouble on the way may end well, and a return is the end.
_PARCEL_RANK = {
    "": 0,
    "shipped": 10,
    "in_transit": 20,
    "exception": 25,
    "out_for_delivery": 30,
    "delivered": 40,
    "returned": 50,
}

TIMES = ("ordered_at", "paid_at", "shipped_at", "delivered_at", "completed_at", "closed_at")
MONEY = ("goods_fen", "freight_fen", "discount_fen", "platform_discount_fen", "payable_fen", "paid_fen")
TEXTS = (
    "parent_order_no",
    "payment_status",
    "fulfillment_status",
    "aftersale_status",
    "raw_status",
    "buyer_unionid",
    "buyer_phone_lookup",
    "buyer_name_mask",
    "phone_tail",
    "province",
    "buyer_note",
    "seller_note",
)


class Verdict(Enum):
    """What an incoming snapshot may do."""

    CORRECT = "newer from the same source: replaces everything it speaks of"
    APPLY = "believed: replaces what it speaks of, but never first times, and never lowers the status"
    RAISE = "from a lesser source: fills what is empty and may raise the status"
    FILL = "older: fills what is empty"


def judge(old: Row, new: Row) -> Verdict:
    """Compare two snapshots by source, then version or update time, then status."""
    ours, theirs = AUTHORITY[old["route"]], AUTHORITY[new["route"]]
    if ours != theirs:
        return Verdict.APPLY if theirs > ours else Verdict.RAISE
    age = _age(old, new)
    if age:
        return Verdict.CORRECT if age > 0 else Verdict.FILL
    forward = RANK[new["status"]] >= RANK[old["status"]] or _is_late_payment(old, new)
    return Verdict.APPLY if forward else Verdict.FILL


def _age(old: Row, new: Row) -> int:
    """1: the new one is newer, -1: older, 0: cannot be told."""
    for name, unset in (("version", 0), ("platform_updated_at", None)):
        before, after = old[name], new[name]
        if before != unset and after != unset and before != after:
            return 1 if after > before else -1
    return 0


def merge(old: Row, new: Row, verdict: Verdict) -> Row:
    """The order's row after the snapshot. `None` and '' in `new` say nothing; ids and children are not touched."""
    row = dict(old)
    believed = verdict in (Verdict.CORRECT, Verdict.APPLY)
    row["status"] = _status(old, new, verdict)
    for name in MONEY + TEXTS:
        if new[name] not in (None, "") and (believed or not old[name]):
            row[name] = new[name]
    for name in TIMES:
        if new[name] is not None and (verdict is Verdict.CORRECT or old[name] is None):
            row[name] = new[name]
    row["buyer_ref"] = {**new["buyer_ref"], **old["buyer_ref"]}
    if believed:
        row["buyer_ref"] = {**old["buyer_ref"], **new["buyer_ref"]}
        row |= {name: new[name] for name in ("currency", "is_gift", "is_test", "route", "digest")}
        row["version"] = max(old["version"], new["version"])
        row["platform_updated_at"] = _later(old["platform_updated_at"], new["platform_updated_at"])
    if _is_strange(old, new):
        row["raw_status"] = new["raw_status"]
    _receiver(row, old, new, believed)
    _leave_cancelled(row, old, new)
    return row


def _status(old: Row, new: Row, verdict: Verdict) -> str:
    before, after = str(old["status"]), str(new["status"])
    higher = RANK[after] > RANK[before]
    if after in ("unknown", before) or verdict is Verdict.FILL:
        return after if before == "unknown" else before
    if before in _TERMINAL:
        revived = verdict is not Verdict.RAISE and _is_late_payment(old, new)
        return after if higher or revived else before
    corrects = verdict is Verdict.CORRECT and new["route"] == "api"
    return after if higher or corrects else before


def _is_strange(old: Row, new: Row) -> bool:
    """The same source now says what nobody understands: kept, so that the order is found when a manager explains it."""
    return (
        bool(new["raw_status"]) and new["status"] == "unknown" and old["route"] == new["route"] and _age(old, new) >= 0
    )


def _is_late_payment(old: Row, new: Row) -> bool:
    """A cancelled order was paid after all: the only way out of a terminal state."""
    paid_at = new["paid_at"]
    if old["status"] != "cancelled" or paid_at is None or not 20 <= RANK[new["status"]] <= 50:
        return False
    return all(old[name] is None or paid_at > old[name] for name in ("closed_at", "paid_at"))


def _leave_cancelled(row: Row, old: Row, new: Row) -> None:
    if old["status"] == "cancelled" and row["status"] not in _TERMINAL:
        row["closed_at"] = new["closed_at"]
        row["paid_at"] = new["paid_at"]


def _receiver(row: Row, old: Row, new: Row, believed: bool) -> None:
    """Real data is never overwritten by masked data, nor masked data by nothing."""
    if new["receiver_sealed"]:
        if believed or not old["receiver_sealed"]:
            row["receiver_sealed"], row["receiver_mask"] = new["receiver_sealed"], new["receiver_mask"]
    elif new["receiver_mask"] and not old["receiver_sealed"] and (believed or not old["receiver_mask"]):
        row["receiver_mask"] = new["receiver_mask"]


def merge_lines(old: list[Row], new: list[Row] | None, verdict: Verdict) -> list[Row]:
    """A believed snapshot replaces the lines; any other only gives them where there were none."""
    if new is None or (old and verdict in (Verdict.RAISE, Verdict.FILL)):
        return old
    pictures = {line["line_key"]: line["image_url"] for line in old}
    # An ERP tells the goods without their pictures.
    return [line | {"image_url": line["image_url"] or pictures.get(line["line_key"], "")} for line in new]


def merge_payments(old: list[Row], new: list[Row] | None, verdict: Verdict) -> list[Row]:
    return _by_key(old, new, ("pay_key",), verdict)


def merge_shipments(old: list[Row], new: list[Row] | None, verdict: Verdict) -> list[Row]:
    """Parcels are never forgotten; the same tracking number without a carrier code is the same parcel."""
    known = {parcel["tracking_no"]: parcel["carrier_code"] for parcel in old}
    named = [
        parcel | {"carrier_code": parcel["carrier_code"] or known.get(parcel["tracking_no"], "")}
        for parcel in new or ()
    ]
    coded = {parcel["tracking_no"] for parcel in named if parcel["carrier_code"]}
    kept = [parcel for parcel in old if parcel["carrier_code"] or parcel["tracking_no"] not in coded]
    before = {parcel["tracking_no"]: parcel for parcel in old}
    merged = _by_key(kept, named, ("carrier_code", "tracking_no"), verdict)
    told = {parcel["tracking_no"]: parcel for parcel in named}
    return [_go_on(parcel, before.get(parcel["tracking_no"]), told.get(parcel["tracking_no"])) for parcel in merged]


def _go_on(parcel: Row, one: Row | None, other: Row | None) -> Row:
    """The parcel as far as anybody has told: who told it, and in which order, does not matter."""
    seen = [known for known in (one, other) if known is not None]
    if not seen:
        return parcel
    furthest = max(seen, key=lambda known: (_PARCEL_RANK[known["state"]], known is one))
    if not furthest["state"]:
        return parcel
    since = [known["state_at"] for known in seen if known["state"] == furthest["state"] and known["state_at"]]
    return parcel | {"state": furthest["state"], "state_at": min(since, default=None)}


def merge_refunds(old: list[Row], new: list[Row] | None, verdict: Verdict) -> list[Row]:
    """Cases go forward by their own state, and never back from refunded, whatever the order's snapshot was."""
    cases = {case["refund_no"]: case for case in old}
    for case in new or ():
        before = cases.get(case["refund_no"])
        if before is None:
            cases[case["refund_no"]] = case
            continue
        ahead = _REFUND_RANK[case["status"]] - _REFUND_RANK[before["status"]]
        reopened = verdict is Verdict.CORRECT and before["status"] != "refunded" and case["status"] != "unknown"
        believed = ahead > 0 or (ahead == 0 and verdict in (Verdict.CORRECT, Verdict.APPLY)) or reopened
        cases[case["refund_no"]] = _fill(before, case) if believed else _fill(case, before)
    return [cases[number] for number in sorted(cases)]


def _by_key(old: list[Row], new: list[Row] | None, key: tuple[str, ...], verdict: Verdict) -> list[Row]:
    rows = {tuple(row[name] for name in key): row for row in old}
    for row in new or ():
        natural = tuple(row[name] for name in key)
        before = rows.get(natural)
        if before is None:
            rows[natural] = row
        elif verdict in (Verdict.CORRECT, Verdict.APPLY):
            rows[natural] = _fill(before, row)
        else:
            rows[natural] = _fill(row, before)
    return [rows[natural] for natural in sorted(rows)]


def _fill(under: Row, over: Row) -> Row:
    """`over`, with its empty values taken from `under`."""
    return {name: value if value not in (None, "", [], 0) else under[name] for name, value in over.items()}


def complete(row: Row, lines: list[Row], shipments: list[Row], refunds: list[Row], stated: Mapping[str, Any]) -> None:
    """Work out in place what follows from the rest: refunded money, times left out, the derived states.

    `stated` holds what this snapshot itself says: refunded_fen (counts only when there are no refund cases),
    payment_status, fulfillment_status, aftersale_status, and `moment`, the time to take where one is missing.
    """
    if any(case["status"] != "unknown" for case in refunds):
        row["refunded_fen"] = sum(case["amount_fen"] for case in refunds if case["status"] == "refunded")
    elif stated.get("refunded_fen") is not None:
        row["refunded_fen"] = stated["refunded_fen"]
    _complete_times(row, shipments, stated["moment"])
    row["payment_status"] = _payment_status(row, stated)
    row["status"] = _end(row)
    if row["closed_at"] is None and row["status"] in _TERMINAL:
        row["closed_at"] = _money_back_at(refunds) or stated["moment"]
    row["fulfillment_status"] = stated.get("fulfillment_status") or _fulfillment_status(row, shipments)
    row["aftersale_status"] = stated.get("aftersale_status") or _aftersale_status(row, refunds)


def _end(row: Row) -> str:
    """All money given back closes an order; and what was paid for is not cancelled but closed."""
    status = str(row["status"])
    if row["paid_at"] is None or row["paid_fen"] <= 0 or not _says_paid(row):
        return status
    if row["refunded_fen"] >= row["paid_fen"] and RANK["paid"] <= RANK[status] <= RANK["completed"]:
        return "closed"
    return "closed" if status == "cancelled" else status


def _money_back_at(refunds: list[Row]) -> datetime | None:
    """When the last money went back."""
    ends = (case["finished_at"] for case in refunds if case["status"] == "refunded")
    return max((moment for moment in ends if moment is not None), default=None)


def _complete_times(row: Row, shipments: list[Row], moment: datetime) -> None:
    status = row["status"]
    arrived = [parcel["delivered_at"] for parcel in shipments]
    # While more is to be sent, what has arrived is not the order.
    if row["delivered_at"] is None and arrived and all(arrived) and status != "partially_shipped":
        row["delivered_at"] = max(arrived)
    if row["shipped_at"] is None and status in ("shipped", "completed", "partially_shipped"):
        sent = [parcel["shipped_at"] for parcel in shipments if parcel["shipped_at"]]
        row["shipped_at"] = min(sent) if sent else (moment if status == "shipped" else None)
    if row["paid_at"] is None and row["paid_fen"] > 0 and 20 <= RANK[status] <= 50 and _says_paid(row):
        row["paid_at"] = moment
    if row["completed_at"] is None and status == "completed":
        row["completed_at"] = moment


def _says_paid(row: Row) -> bool:
    return row["payment_status"] not in ("unpaid", "partially_paid")


def _payment_status(row: Row, stated: Mapping[str, Any]) -> str:
    if stated.get("payment_status"):
        return str(stated["payment_status"])
    if row["payment_status"] == "partially_paid" and RANK[row["status"]] < RANK["paid"]:
        return "partially_paid"
    if row["paid_at"] is None:
        return "unpaid"
    if row["refunded_fen"] <= 0:
        return "paid"
    return "refunded" if row["refunded_fen"] >= row["paid_fen"] else "partially_refunded"


def _fulfillment_status(row: Row, shipments: list[Row]) -> str:
    if row["delivered_at"] is not None:
        return "delivered"
    if row["shipped_at"] is not None:
        return "partial" if row["status"] == "partially_shipped" else "shipped"
    return "partial" if shipments else "none"


def _aftersale_status(row: Row, refunds: list[Row]) -> str:
    if any(case["status"] in REFUND_OPEN for case in refunds):
        return "open"
    if row["refunded_fen"] <= 0:
        return "none"
    return "refunded" if row["refunded_fen"] >= row["paid_fen"] else "partially_refunded"


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
