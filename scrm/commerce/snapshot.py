"""An order as it came, turned into the rows we keep: texts cut to their columns, private values sealed and masked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from scrm.commerce import models
from scrm.commerce.canonical import Line, Order, Payment, Receiver, Refund, Shipment, allocate
from scrm.commerce.merge import Row
from scrm.db.vault import Vault, cover_phones, mask_phone
from scrm.profiles.phones import is_masked, is_virtual_phone, mask_name, normalise_phone

_WIDTH: dict[str, int] = {
    f"{table.name}.{column.name}": length
    for table in (models.orders, models.order_line, models.shipment, models.refund)
    for column in table.columns
    if (length := getattr(column.type, "length", None))
}
_PHONE_NAMES = frozenset(("mobile_e164", "mobile", "phone"))
_NAME_NAMES = frozenset(("name", "nick", "taobao_nick"))
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Snapshot:
    """What one message says about one order; children are None when nothing was said about them."""

    row: Row
    lines: list[Row] | None
    payments: list[Row] | None
    shipments: list[Row] | None
    refunds: list[Row] | None
    stated: Row
    external_userid: str


def digests(orders: Iterable[Order], vault: Vault) -> list[str]:
    """Keyed hashes of whole messages: equal digests are the same message; 48 hex characters each."""
    key = vault.sign("order digest", "v1").encode()
    return [blake2b(_encode(order), digest_size=24, key=key).hexdigest() for order in orders]


def take(order: Order, vault: Vault, *, route: str, digest: str, now: datetime) -> Snapshot:
    """The rows of an order; `now` stands in where a live message forgot to say when."""
    private = _Buyer(order, vault)
    row: Row = {
        "channel": order.channel,
        "shop_key": order.shop_key,
        "order_no": order.order_no,
        "person_id": None,
        "bound_by": "",
        "parent_order_no": order.parent_order_no,
        "status": order.status,
        "payment_status": order.payment_status,
        "fulfillment_status": order.fulfillment_status,
        "aftersale_status": order.aftersale_status,
        "raw_status": _cut("orders.raw_status", order.raw_status),
        "currency": order.currency,
        "goods_fen": order.goods_fen,
        "freight_fen": order.freight_fen,
        "discount_fen": order.discount_fen,
        "platform_discount_fen": order.platform_discount_fen,
        "payable_fen": order.payable_fen,
        "paid_fen": _paid_fen(order),
        "refunded_fen": 0,
        "ordered_at": _whole(order.ordered_at),
        "paid_at": _whole(order.paid_at),
        "shipped_at": _whole(order.shipped_at),
        "delivered_at": _whole(order.delivered_at),
        "completed_at": _whole(order.completed_at),
        "closed_at": _whole(order.closed_at),
        "platform_updated_at": _whole(order.platform_updated_at),
        "buyer_unionid": order.buyer_ref.get("wx_unionid", "")[:64],
        "buyer_phone_lookup": private.phone_lookup,
        "buyer_name_mask": private.name_mask,
        "no_tail": tail_of(order.order_no),
        "phone_tail": private.phone_tail,
        "buyer_ref": private.ids,
        "receiver_mask": private.receiver_mask,
        "receiver_sealed": private.receiver_sealed,
        "buyer_note": _cut("orders.buyer_note", cover_phones(order.buyer_note)),
        "seller_note": _cut("orders.seller_note", cover_phones(order.seller_note)),
        "is_gift": order.is_gift,
        "is_test": order.is_test,
        "route": route,
        "version": _version(order),
        "digest": digest,
        "first_seen_at": now,
        "last_seen_at": now,
    }
    stated = {
        "refunded_fen": order.refunded_fen,
        "payment_status": order.payment_status,
        "fulfillment_status": order.fulfillment_status,
        "aftersale_status": order.aftersale_status,
        "moment": _whole(_moment(order, route, now)),
    }
    return Snapshot(
        row=row,
        lines=None if order.lines is None else _lines(order.lines, row["paid_fen"]),
        payments=None if order.payments is None else [_payment(payment) for payment in order.payments],
        shipments=None if order.shipments is None else [_shipment(parcel) for parcel in order.shipments],
        refunds=None if order.refunds is None else [_refund(case) for case in order.refunds],
        stated=stated,
        external_userid=order.buyer_ref.get("wecom_external_userid") or order.buyer_ref.get("external_userid", ""),
    )


def tail_of(order_no: str) -> str:
    """By what an order is found when somebody reads out the end of its number; '' of what is hardly longer."""
    return order_no[-4:].lower() if len(order_no) >= 4 else ""


def _phone_tail(mask: str) -> str:
    found = _COVERED.search(mask)
    return found[1] if found else ""


_COVERED = re.compile(r"[*•＊×]{2,}(\d{4})(?!\d)", re.ASCII)


def settle(row: Row) -> Row:
    """A first snapshot as a row of the table: what nobody said becomes zero."""
    for name in ("goods_fen", "freight_fen", "discount_fen", "platform_discount_fen", "payable_fen", "paid_fen"):
        if row[name] is None:
            row[name] = 0
    return row


def _cut(column: str, text: str) -> str:
    """PostgreSQL refuses NUL and what is too long."""
    return text.replace("\0", "")[: _WIDTH[column]] if text else ""


def _whole(moment: datetime | None) -> datetime | None:
    """Cut to milliseconds, as the database keeps it: what is equal stays equal."""
    if moment is None or not moment.microsecond % 1000:
        return moment
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _version(order: Order) -> int:
    if order.version is not None:
        return order.version
    value = order.version_value
    if isinstance(value, int):
        return value
    return int(value) if value and value.isdecimal() and len(value) <= 18 else 0


def _moment(order: Order, route: str, now: datetime) -> datetime:
    """When what the order says became true, if it does not tell: live messages are fresh, files are not."""
    if route != "file":
        return order.platform_updated_at or now
    told = (order.closed_at, order.completed_at, order.delivered_at, order.shipped_at, order.paid_at, order.ordered_at)
    return next((moment for moment in told if moment is not None), now)


def _paid_fen(order: Order) -> int | None:
    if order.paid_fen is not None or not order.payments:
        return order.paid_fen
    return sum(payment.amount_fen for payment in order.payments if payment.method != "points")


class _Buyer:
    """The buyer's and receiver's private values, each in the only form in which it may be kept."""

    __slots__ = ("ids", "name_mask", "phone_lookup", "phone_tail", "receiver_mask", "receiver_sealed")

    def __init__(self, order: Order, vault: Vault) -> None:
        ids: dict[str, str] = {}
        self.phone_lookup = self.phone_tail = self.name_mask = self.receiver_sealed = ""
        self.receiver_mask = _cut("orders.receiver_mask", order.receiver_mask)
        for name, value in order.buyer_ref.items():
            if not value:
                continue
            if name in _PHONE_NAMES:
                self._phone(value[:200], ids, vault)
                continue
            if name in _NAME_NAMES and not self.name_mask:
                self.name_mask = _cut("orders.buyer_name_mask", mask_name(value))
            ids[name] = mask_name(value)[:200] if name == "name" else value[:200]
        self.ids = ids
        if order.receiver is not None:
            self._receiver(order.receiver, vault)
        self.phone_tail = _phone_tail(self.receiver_mask) or _phone_tail(ids.get("mobile_mask", ""))

    def _phone(self, text: str, ids: dict[str, str], vault: Vault) -> None:
        phone = normalise_phone(text)
        if phone is not None:
            self.phone_lookup = self.phone_lookup or vault.lookup(phone)
            ids["mobile_mask"] = mask_phone(phone)
        elif is_masked(text) and not is_virtual_phone(text):
            ids.setdefault("mobile_mask", text[:20])

    def _receiver(self, receiver: Receiver, vault: Vault) -> None:
        phone = normalise_phone(receiver.phone)
        place = "".join((receiver.province, receiver.city, receiver.district))
        shown = (mask_name(receiver.name), mask_phone(phone) if phone else _masked(receiver.phone), place)
        self.receiver_mask = _cut("orders.receiver_mask", " ".join(part for part in shown if part))
        if any(text and not is_masked(text) for text in (receiver.name, receiver.phone, receiver.address)):
            self.receiver_sealed = vault.seal(_encode(_shortened(receiver)).decode())


def _shortened(receiver: Receiver) -> Receiver:
    """At most 160 characters a field, so that the sealed text fits its column."""
    values = msgspec.structs.astuple(receiver)
    if max(map(len, values)) <= 160:
        return receiver
    return Receiver(**dict(zip(Receiver.__struct_fields__, (text[:160] for text in values), strict=True)))


def _masked(phone: str) -> str:
    if not phone:
        return ""
    return phone[:20] if is_masked(phone) else f"****{phone[-2:]}"


def _lines(lines: list[Line], paid_fen: int | None) -> list[Row]:
    rows = [_line(line, position) for position, line in enumerate(lines)]
    if len(lines) == 1:
        if lines[0].paid_fen is None:
            rows[0]["paid_fen"] = paid_fen or 0
        return rows
    _make_unique(rows)
    if paid_fen is not None and any(line.paid_fen is None for line in lines):
        weights = [
            0 if line.is_gift else (line.unit_price_fen or 0) * line.qty - (line.discount_fen or 0) for line in lines
        ]
        for row, share in zip(rows, allocate(paid_fen, [max(weight, 0) for weight in weights]), strict=True):
            row["paid_fen"] = share
    return rows


def _line(line: Line, position: int) -> Row:
    return {
        "line_key": line.line_key or f"{position + 1}",
        "position": position,
        "platform_item_id": line.platform_item_id,
        "platform_sku_id": line.platform_sku_id,
        "merchant_sku": line.merchant_sku,
        "title": _cut("order_line.title", line.title),
        "spec": _cut("order_line.spec", line.spec),
        "qty": line.qty,
        "unit_price_fen": line.unit_price_fen or 0,
        "discount_fen": line.discount_fen or 0,
        "paid_fen": line.paid_fen or 0,
        "is_gift": line.is_gift,
        "refunded_qty": line.refunded_qty,
        "refunded_fen": line.refunded_fen,
        "line_status": line.line_status,
    }


def _make_unique(rows: list[Row]) -> None:
    """Two lines of one key are two lines: the second becomes key.2."""
    seen: dict[str, int] = {}
    for row in rows:
        key = row["line_key"]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            row["line_key"] = f"{key[:110]}.{seen[key]}"


def _payment(payment: Payment) -> Row:
    return {
        "pay_key": payment.pay_key,
        "method": payment.method,
        "amount_fen": payment.amount_fen,
        "paid_at": _whole(payment.paid_at),
        "phase": payment.phase,
    }


def _shipment(parcel: Shipment) -> Row:
    return {
        "carrier_code": parcel.carrier_code,
        "tracking_no": parcel.tracking_no,
        "carrier_name": _cut("shipment.carrier_name", parcel.carrier_name),
        "shipped_at": _whole(parcel.shipped_at),
        "delivered_at": _whole(parcel.delivered_at),
        "line_keys": parcel.line_keys,
        "source": parcel.source,
        "state": parcel.state or ("delivered" if parcel.delivered_at else "shipped" if parcel.shipped_at else ""),
        "state_at": _whole(parcel.state_at or parcel.delivered_at or parcel.shipped_at),
    }


def _refund(case: Refund) -> Row:
    return {
        "refund_no": case.refund_no,
        "type": case.type,
        "status": case.status,
        "amount_fen": case.amount_fen,
        "reason": _cut("refund.reason", cover_phones(case.reason)),
        "created_at": _whole(case.created_at),
        "finished_at": _whole(case.finished_at),
    }


def keys(orders: Iterable[Order]) -> list[tuple[str, str, str]]:
    """The natural keys, in order."""
    return [(order.channel, order.shop_key, order.order_no) for order in orders]
