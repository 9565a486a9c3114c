"""Shopify: HMAC-SHA256 in Base64 over the raw body; whole orders, refunds and fulfilments of an order."""

import base64
import hmac
from collections.abc import Iterable
from typing import Any

from pydantic import AliasChoices, Field, SecretStr

from scrm.commerce.connectors.hook import (
    Answer,
    Delivery,
    Hook,
    Incoming,
    Plain,
    Reading,
    Refused,
    SourceOptions,
    Unreadable,
    body_key,
    read_object,
    short_key,
)
from scrm.commerce.connectors.values import count, dicts, minor, moment, pick, said, total, word

_PAID = frozenset(("paid", "partially_refunded", "refunded"))


class Options(SourceOptions):
    """The app's client secret; the former one is accepted for as long as it is set (a rotation takes an hour)."""

    secret: SecretStr = Field(min_length=1, validation_alias=AliasChoices("secret", "client_secret", "webhook_secret"))
    former_secret: SecretStr = SecretStr("")


class Shopify(Hook):
    """X-Shopify-Hmac-Sha256 (shopify.dev, verify deliveries)."""

    kind = "shopify"
    title = "Shopify"
    options_type = Options
    options: Options

    def receive(self, request: Incoming) -> Delivery | Answer:
        secrets = (self.options.secret.get_secret_value(), self.options.former_secret.get_secret_value())
        if not is_signed(request.headers.get("X-Shopify-Hmac-Sha256", ""), request.body, secrets):
            raise Refused("签名不对：请核对这个来源的 secret 是不是 Shopify 应用的 Client secret")
        hook_id = request.headers.get("X-Shopify-Webhook-Id", "")
        # The id is not under the signature: it tells repetitions apart, not messages.
        key = short_key(f"{hook_id[:40]}:{body_key(request.body)[:32]}") if hook_id else body_key(request.body)
        return Delivery(request.body, key, request.headers.get("X-Shopify-Topic", ""), Answer("", "text/plain"))

    def read(self, topic: str, body: bytes) -> Reading:
        data = read_object(body)
        shop_key = self.options.shop_key or self.key
        if topic.startswith("refunds/") or (not topic and "refund_line_items" in data):
            return Reading([_refund_of(data, shop_key)])
        if topic.startswith("fulfillments/") or (not topic and "tracking_number" in data):
            return Reading([_fulfilment_of(data, shop_key)])
        if topic.startswith("orders/") or not topic:
            if topic == "orders/delete":
                return Reading(note="订单在 Shopify 后台被删除，这里保留原来的记录")
            return Reading([read_shopify_order(data, shop_key)])
        return Reading(note=f"{topic[:40]} 与订单无关")


def is_signed(given: str, body: bytes, secrets: Iterable[str]) -> bool:
    """Whether `given` is the Base64 HMAC-SHA256 of the body under one of the secrets; each is compared in full."""
    raw = given.encode("utf-8", "replace")
    fits = [
        hmac.compare_digest(base64.b64encode(hmac.digest(secret.encode(), body, "sha256")), raw)
        for secret in secrets
        if secret
    ]
    return any(fits)


def read_shopify_order(data: Plain, shop_key: str) -> Plain:
    """An order of the Admin API as canonical values; raises Unreadable."""
    number = word(data.get("id")) or word(data.get("name"))
    if not number:
        raise Unreadable("缺少订单号 id")
    name = word(data.get("name"))
    currency = word(data.get("currency")).upper() or "CNY"

    def money(field: str, value: Any) -> int | None:
        return minor(field, value, currency)

    financial, status = word(data.get("financial_status")), _status(data)
    is_paid = financial in _PAID
    subtotal, discount = (
        money("subtotal_price", data.get("subtotal_price")),
        money("total_discounts", data.get("total_discounts")),
    )
    payable = money("total_price", data.get("total_price"))
    refunds = [_refund(case, money) for case in dicts(data.get("refunds"))]
    cancelled_at = moment("cancelled_at", data.get("cancelled_at"))
    parcels = _parcels(dicts(data.get("fulfillments")))
    return said(
        {
            "channel": "shopify",
            "shop_key": shop_key,
            "order_no": number,
            # What people read and type: #1001.
            "parent_order_no": name if name != number else "",
            "status": status,
            "payment_status": {"partially_paid": "partially_paid", "pending": "unpaid", "authorized": "unpaid"}.get(
                financial
            ),
            "raw_status": "/".join(filter(None, (financial, word(data.get("fulfillment_status"))))),
            "currency": currency,
            "goods_fen": None if subtotal is None else subtotal + (discount or 0),
            "freight_fen": money(
                "total_shipping_price_set", pick(data, "total_shipping_price_set", "shop_money", "amount")
            ),
            "discount_fen": discount,
            "payable_fen": payable,
            "paid_fen": payable if is_paid else _part_paid(data, financial, payable, money),
            "ordered_at": moment("created_at", data.get("created_at")),
            "paid_at": moment("processed_at", data.get("processed_at") or data.get("created_at")) if is_paid else None,
            "shipped_at": _first_sent(dicts(data.get("fulfillments"))) if status in ("shipped", "completed") else None,
            "completed_at": moment("closed_at", data.get("closed_at")) if status == "completed" else None,
            "closed_at": cancelled_at if status in ("cancelled", "closed") else None,
            "platform_updated_at": moment("updated_at", data.get("updated_at")),
            "buyer_ref": _buyer(data),
            "receiver": _receiver(data.get("shipping_address")),
            "buyer_note": word(data.get("note")),
            "is_test": data.get("test") is True or None,
            "lines": _lines(data, money),
            "coupons": coupons_of(data.get("discount_codes"), "amount", money),
            "shipments": parcels or None,
            "refunds": refunds or None,
        }
    )


def coupons_of(uses: Any, amount: str, money: Any) -> list[Plain] | None:
    """Codes that the order used; None where the message says nothing of them."""
    used = [
        {"code": code, "discount_fen": abs(money(amount, use.get(amount)) or 0)}
        for use in dicts(uses)
        if (code := word(use.get("code"), 64))
    ]
    return used or None


def _part_paid(data: Plain, financial: str, payable: int | None, money: Any) -> int:
    if financial != "partially_paid" or payable is None:
        return 0
    return max(payable - (money("total_outstanding", data.get("total_outstanding")) or payable), 0)


def _status(data: Plain) -> str:
    financial, fulfilment = word(data.get("financial_status")), word(data.get("fulfillment_status"))
    if data.get("cancelled_at"):
        return "closed" if financial in _PAID else "cancelled"
    if financial in ("pending", "authorized", "partially_paid"):
        return "pending_payment"
    if financial in ("refunded", "voided"):
        return "closed" if financial == "refunded" else "cancelled"
    if financial not in _PAID:
        return "unknown"
    if fulfilment == "fulfilled":
        return "completed" if data.get("closed_at") else "shipped"
    return {"": "paid", "partial": "partially_shipped"}.get(fulfilment, "paid")


def _lines(data: Plain, money: Any) -> list[Plain] | None:
    if "line_items" not in data:
        return None
    returned: dict[str, tuple[int, int]] = {}
    for case in dicts(data.get("refunds")):
        for one in dicts(case.get("refund_line_items")):
            key = word(one.get("line_item_id"))
            pieces, amount = returned.get(key, (0, 0))
            subtotal = money("subtotal", one.get("subtotal")) or 0
            returned[key] = (pieces + count("quantity", one.get("quantity"), 0), amount + subtotal)
    return [_line(one, returned.get(word(one.get("id")), (0, 0)), money) for one in dicts(data.get("line_items"))]


def _line(one: Plain, returned: tuple[int, int], money: Any) -> Plain:
    qty, price = count("quantity", one.get("quantity")), money("price", one.get("price")) or 0
    shares = (money("amount", share.get("amount")) for share in dicts(one.get("discount_allocations")))
    discount = total(shares)
    if discount is None:
        discount = money("total_discount", one.get("total_discount")) or 0
    return {
        "line_key": word(one.get("id"), 120),
        "title": word(one.get("title") or one.get("name")),
        "spec": word(one.get("variant_title")),
        "platform_item_id": word(one.get("product_id"), 80),
        "platform_sku_id": word(one.get("variant_id"), 80),
        "merchant_sku": word(one.get("sku"), 80),
        "qty": qty,
        "unit_price_fen": price,
        "discount_fen": discount,
        "paid_fen": max(price * qty - discount, 0),
        "refunded_qty": returned[0],
        "refunded_fen": returned[1],
    }


def _refund(case: Plain, money: Any) -> Plain:
    moves = [move for move in dicts(case.get("transactions")) if word(move.get("kind")) in ("refund", "")]
    amount = total(money("amount", move.get("amount")) for move in moves if move.get("status") != "failure")
    waits = any(move.get("status") == "pending" for move in moves)
    created_at = moment("created_at", case.get("created_at"))
    return said(
        {
            "refund_no": word(case.get("id"), 80),
            "status": "refunding" if waits else "refunded",
            "amount_fen": amount or 0,
            "reason": word(case.get("note")),
            "created_at": created_at,
            "finished_at": None if waits else moment("processed_at", case.get("processed_at")) or created_at,
        }
    )


def _parcels(fulfilments: list[Plain]) -> list[Plain]:
    return [parcel for one in fulfilments if one.get("status") != "cancelled" for parcel in _parcels_of(one)]


def _parcels_of(one: Plain) -> list[Plain]:
    many = one.get("tracking_numbers")
    numbers = [word(number, 80) for number in (many if isinstance(many, list) else [])]
    numbers = numbers or [word(one.get("tracking_number"), 80)]
    arrived = one.get("shipment_status") == "delivered"
    return [
        said(
            {
                "tracking_no": number,
                "carrier_name": word(one.get("tracking_company")),
                "shipped_at": moment("created_at", one.get("created_at")),
                "delivered_at": moment("updated_at", one.get("updated_at")) if arrived else None,
                "line_keys": [word(line.get("id")) for line in dicts(one.get("line_items"))] or None,
                "source": "shopify",
            }
        )
        for number in dict.fromkeys(filter(None, numbers))
    ]


def _first_sent(fulfilments: list[Plain]) -> Any:
    times = [moment("created_at", one.get("created_at")) for one in fulfilments if one.get("status") != "cancelled"]
    return min((one for one in times if one is not None), default=None)


def _buyer(data: Plain) -> dict[str, str]:
    customer = data.get("customer") if isinstance(data.get("customer"), dict) else {}
    name = " ".join(filter(None, (word(pick(customer, "first_name")), word(pick(customer, "last_name")))))
    ids = {
        "shopify_customer_id": word(pick(customer, "id")),
        "mobile_e164": word(data.get("phone"))
        or word(pick(customer, "phone"))
        or word(pick(data, "billing_address", "phone")),
        "name": name,
    }
    return {kind: value for kind, value in ids.items() if value}


def _receiver(address: Any) -> Plain | None:
    if not isinstance(address, dict):
        return None
    street = " ".join(filter(None, (word(address.get("address1")), word(address.get("address2")))))
    return {
        "name": word(address.get("name")),
        "phone": word(address.get("phone")),
        "province": word(address.get("province")),
        "city": word(address.get("city")),
        "address": street,
    }


def _order_number(data: Plain) -> str:
    number = word(data.get("order_id"))
    if not number:
        raise Unreadable("缺少订单号 order_id")
    return number


def _refund_of(data: Plain, shop_key: str) -> Plain:
    """refunds/create: the order itself may not have come yet."""
    moves = dicts(data.get("transactions"))
    currency = (word(moves[0].get("currency")).upper() if moves else "") or "CNY"
    case = _refund(data, lambda field, value: minor(field, value, currency))
    return {
        "channel": "shopify",
        "shop_key": shop_key,
        "order_no": _order_number(data),
        "status": "unknown",
        "refunds": [case],
        "currency": currency,
    }


def _fulfilment_of(data: Plain, shop_key: str) -> Plain:
    """fulfillments/*: parcels of an order."""
    order = {"channel": "shopify", "shop_key": shop_key, "order_no": _order_number(data), "status": "unknown"}
    parcels = _parcels([data])
    return {**order, "shipments": parcels} if parcels else order
