"""An order as it came, turned into the rows we keep: texts cut to their columns, private values sealed and masked."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import msgspec

from scrm.commerce import models
from scrm.commerce.canonical import Line, Order, Payment, Receiver, Refund, Shipment, allocate
from scrm.commerce.merge import TIMES, Row
from scrm.commerce.provinces import province_of
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
    return marks([_encode(order) for order in orders], vault)


def marks(encoded: Iterable[bytes], vault: Vault) -> list[str]:
    """`digests` of orders that have been written out as JSON already."""
    key = vault.sign("order digest", "v1").encode()
    return [blake2b(text, digest_size=24, key=key).hexdigest() for text in encoded]


_AS_THEY_COME = (
    "channel",
    "shop_key",
    "order_no",
    "parent_order_no",
    "status",
    "payment_status",
    "fulfillment_status",
    "aftersale_status",
    "currency",
    "goods_fen",
    "freight_fen",
    "discount_fen",
    "platform_discount_fen",
    "payable_fen",
    "is_gift",
    "is_test",
)
_TEXTS = ("buyer_note", "seller_note")
_PICKED = (*_AS_THEY_COME, *TIMES, "platform_updated_at", "raw_status", *_TEXTS)
_pick = attrgetter(*_PICKED)


def columns_of(
    orders: Sequence[Order], vault: Vault, *, route: str, digests: Sequence[str], now: datetime
) -> dict[str, list[Any]]:
    """The rows of orders, column by column: what most orders share is looked at once."""
    many = len(orders)
    columns = by_column(_PICKED, [_pick(order) for order in orders])
    for name in (*TIMES, "platform_updated_at"):
        columns[name] = [_whole(moment) if moment is not None else None for moment in columns[name]]
    for name in _TEXTS:
        columns[name] = [_cut(f"orders.{name}", cover_phones(text)) if text else "" for text in columns[name]]
    columns["raw_status"] = [_cut("orders.raw_status", text) for text in columns["raw_status"]]
    buyers = [_Buyer(order, vault) for order in orders]
    columns |= {
        "person_id": [None] * many,
        "bound_by": [""] * many,
        "paid_fen": [_paid_fen(order) for order in orders],
        "refunded_fen": [0] * many,
        "buyer_unionid": [order.buyer_ref.get("wx_unionid", "")[:64] for order in orders],
        "buyer_phone_lookup": [buyer.phone_lookup for buyer in buyers],
        "buyer_name_mask": [buyer.name_mask for buyer in buyers],
        "no_tail": [tail_of(no) for no in columns["order_no"]],
        "phone_tail": [buyer.phone_tail for buyer in buyers],
        "buyer_ref": [buyer.ids for buyer in buyers],
        "receiver_mask": [buyer.receiver_mask for buyer in buyers],
        "receiver_sealed": [buyer.receiver_sealed for buyer in buyers],
        "province": [province_of(order.receiver) if order.receiver is not None else "" for order in orders],
        "route": [route] * many,
        "version": [_version(order) for order in orders],
        "digest": list(digests),
        "first_seen_at": [now] * many,
        "last_seen_at": [now] * many,
    }
    return columns


def by_column(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Rows turned into columns; empty ones where there is no row."""
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def take(order: Order, vault: Vault, *, route: str, digest: str, now: datetime) -> Snapshot:
    """The rows of an order; `now` stands in where a live message forgot to say when."""
    columns = columns_of((order,), vault, route=route, digests=(digest,), now=now)
    row: Row = {name: column[0] for name, column in columns.items()}
    return Snapshot(
        row=row,
        lines=None if order.lines is None else line_rows(order.lines, row["paid_fen"]),
        payments=None if order.payments is None else [payment_row(payment) for payment in order.payments],
        shipments=None if order.shipments is None else [shipment_row(parcel) for parcel in order.shipments],
        refunds=None if order.refunds is None else [refund_row(case) for case in order.refunds],
        stated=stated_in(order, route, now),
        external_userid=external_userid_of(order),
    )


def stated_in(order: Order, route: str, now: datetime) -> Row:
    """What `merge.complete` wants to know of the message itself."""
    return {
        "refunded_fen": order.refunded_fen,
        "payment_status": order.payment_status,
        "fulfillment_status": order.fulfillment_status,
        "aftersale_status": order.aftersale_status,
        "moment": moment_of(order, route, now),
    }


def external_userid_of(order: Order) -> str:
    """The buyer's id with WeCom, as whoever sent the order names it."""
    return order.buyer_ref.get("wecom_external_userid") or order.buyer_ref.get("external_userid", "")


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
    return (text.replace("\0", "") if "\0" in text else text)[: _WIDTH[column]] if text else ""


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


def moment_of(order: Order, route: str, now: datetime) -> datetime | None:
    """When what the order says became true, if it does not tell: live messages are fresh, files are not."""
    if route != "file":
        return _whole(order.platform_updated_at or now)
    told = (order.closed_at, order.completed_at, order.delivered_at, order.shipped_at, order.paid_at, order.ordered_at)
    return _whole(next((moment for moment in told if moment is not None), now))


def _paid_fen(order: Order) -> int | None:
    if order.paid_fen is not None or not order.payments:
        return order.paid_fen
    return sum(payment.amount_fen for payment in order.payments if payment.method != "points")


class _Buyer:
    """The buyer's and receiver's private values, each in the only form in which it may be kept."""

    __slots__ = ("_seen", "ids", "name_mask", "phone_lookup", "phone_tail", "receiver_mask", "receiver_sealed")

    def __init__(self, order: Order, vault: Vault) -> None:
        ids: dict[str, str] = {}
        self._seen: tuple[str, str | None] = ("", None)
        self.phone_lookup = self.phone_tail = self.name_mask = self.receiver_sealed = ""
        self.receiver_mask = _cut("orders.receiver_mask", order.receiver_mask)
        self.ids = ids
        for name, value in order.buyer_ref.items():
            if not value:
                continue
            if name in _PHONE_NAMES:
                self._phone(value[:200], ids, vault)
                continue
            if name in _NAME_NAMES and not self.name_mask:
                self.name_mask = _cut("orders.buyer_name_mask", mask_name(value))
            ids[name] = mask_name(value)[:200] if name == "name" else value[:200]
        if order.receiver is not None:
            self._receiver(order.receiver, vault)
        self.phone_tail = _phone_tail(self.receiver_mask) or _phone_tail(ids.get("mobile_mask", ""))

    def _phone(self, text: str, ids: dict[str, str], vault: Vault) -> None:
        phone = self._normalised(text)
        if phone is not None:
            self.phone_lookup = self.phone_lookup or vault.lookup(phone)
            ids["mobile_mask"] = mask_phone(phone)
        elif is_masked(text) and not is_virtual_phone(text):
            ids.setdefault("mobile_mask", text[:20])

    def _normalised(self, text: str) -> str | None:
        """Buyer and receiver mostly have one phone."""
        if text != self._seen[0]:
            self._seen = text, normalise_phone(text)
        return self._seen[1]

    def _receiver(self, receiver: Receiver, vault: Vault) -> None:
        phone = self._normalised(receiver.phone)
        shown = [
            mask_name(receiver.name),
            mask_phone(phone) if phone else _masked(receiver.phone),
            f"{receiver.province}{receiver.city}{receiver.district}",
        ]
        self.receiver_mask = _cut("orders.receiver_mask", " ".join(filter(None, shown)))
        if any(text and not is_masked(text) for text in (receiver.name, receiver.phone, receiver.address)):
            self.receiver_sealed = vault.seal(_encode(_shortened(receiver)).decode())


def _shortened(receiver: Receiver) -> Receiver:
    """At most 160 characters a field, so that the sealed text fits its column."""
    values = msgspec.structs.astuple(receiver)
    if len("".join(values)) <= 160 or max(map(len, values)) <= 160:
        return receiver
    return Receiver(**dict(zip(Receiver.__struct_fields__, (text[:160] for text in values), strict=True)))


def _masked(phone: str) -> str:
    if not phone:
        return ""
    return phone[:20] if is_masked(phone) else f"****{phone[-2:]}"


def line_rows(lines: list[Line], paid_fen: int | None) -> list[Row]:
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
        "image_url": line.image_url,
    }


def _make_unique(rows: list[Row]) -> None:
    """Two lines of one key are two lines: the second becomes key.2."""
    seen: dict[str, int] = {}
    for row in rows:
        key = row["line_key"]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            row["line_key"] = f"{key[:110]}.{seen[key]}"


def payment_row(payment: Payment) -> Row:
    return {
        "pay_key": payment.pay_key,
        "method": payment.method,
        "amount_fen": payment.amount_fen,
        "paid_at": _whole(payment.paid_at),
        "phase": payment.phase,
    }


def shipment_row(parcel: Shipment) -> Row:
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


def refund_row(case: Refund) -> Row:
    return {
        "refund_no": case.refund_no,
        "type": case.type,
        "status": case.status,
        "amount_fen": case.amount_fen,
        "reason": _cut("refund.reason", cover_phones(case.reason)),
        "raw_status": _cut("refund.raw_status", cover_phones(case.raw_status)),
        "created_at": _whole(case.created_at),
        "finished_at": _whole(case.finished_at),
    }


def keys(orders: Iterable[Order]) -> list[tuple[str, str, str]]:
    """The natural keys, in order."""
    return [(order.channel, order.shop_key, order.order_no) for order in orders]
