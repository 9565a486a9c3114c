"""WooCommerce: HMAC-SHA256 in Base64 over the raw body; whole orders as of REST v3."""

import re
from datetime import UTC
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
from scrm.commerce.connectors.shopify import coupons_of, is_signed
from scrm.commerce.connectors.values import count, dicts, minor, moment, pick, picture, said, total, word

_PING = re.compile(rb"webhook_id=[0-9]{1,12}")
_STATUS = {
    "pending": "pending_payment",
    "checkout-draft": "pending_payment",
    "failed": "pending_payment",
    "on-hold": "pending_payment",
    "processing": "paid",
    "completed": "completed",
    "cancelled": "cancelled",
    "refunded": "closed",
    "trash": "cancelled",
}


class Options(SourceOptions):
    """The secret of the webhook (WooCommerce → 设置 → 高级 → Webhooks)."""

    secret: SecretStr = Field(min_length=1, validation_alias=AliasChoices("secret", "webhook_secret"))


class WooCommerce(Hook):
    """X-WC-Webhook-Signature; five answers that are no 2xx disable the hook, so what is signed is always a 200."""

    kind = "woocommerce"
    title = "WooCommerce"
    options_type = Options
    options: Options

    def receive(self, request: Incoming) -> Delivery | Answer:
        if _PING.fullmatch(request.body) and "X-WC-Webhook-Signature" not in request.headers:
            return Answer("", "text/plain")  # the first call of a new hook, which bears no signature
        given = request.headers.get("X-WC-Webhook-Signature", "")
        if not is_signed(given, request.body, (self.options.secret.get_secret_value(),)):
            raise Refused("签名不对：请核对这个来源的 secret 是不是该 Webhook 的“密钥”")
        answer = Answer("", "text/plain")
        if _PING.fullmatch(request.body):
            return answer
        delivery_id = request.headers.get("X-WC-Webhook-Delivery-ID", "")
        key = short_key(f"{delivery_id[:40]}:{body_key(request.body)[:32]}") if delivery_id else body_key(request.body)
        return Delivery(request.body, key, request.headers.get("X-WC-Webhook-Topic", ""), answer)

    def read(self, topic: str, body: bytes) -> Reading:
        if topic and not topic.startswith("order."):
            return Reading(note=f"{topic[:40]} 与订单无关")
        data = read_object(body)
        if topic == "order.deleted":
            return Reading(note="订单在 WooCommerce 后台被删除，这里保留原来的记录")
        return Reading([read_woo_order(data, self.options.shop_key or self.key)])


def read_woo_order(data: Plain, shop_key: str) -> Plain:
    """An order of REST v3 as canonical values; raises Unreadable."""
    number = word(data.get("id"))
    if not number:
        raise Unreadable("缺少订单号 id")
    shown = word(data.get("number"))
    currency = word(data.get("currency")).upper() or "CNY"

    def money(field: str, value: Any) -> int | None:
        return minor(field, value, currency)

    raw_status = word(data.get("status"))
    status = _STATUS.get(raw_status, "unknown")
    paid_at, payable = _time(data, "date_paid"), money("total", data.get("total"))
    if status == "cancelled" and paid_at is not None:
        status = "closed"
    changed_at = _time(data, "date_modified")
    refunds = [_refund(case, money) for case in dicts(data.get("refunds"))]
    lines = [_line(one, money) for one in dicts(data.get("line_items"))] if "line_items" in data else None
    return said(
        {
            "channel": "woo",
            "shop_key": shop_key,
            "order_no": number,
            # Plugins give orders other numbers: that is the one people read.
            "parent_order_no": shown if shown != number else "",
            "status": status,
            "raw_status": raw_status,
            "currency": currency,
            "goods_fen": total(money("subtotal", one.get("subtotal")) for one in dicts(data.get("line_items"))),
            "freight_fen": money("shipping_total", data.get("shipping_total")),
            "discount_fen": money("discount_total", data.get("discount_total")),
            "payable_fen": payable,
            "paid_fen": payable if paid_at is not None else 0,
            "ordered_at": _time(data, "date_created"),
            "paid_at": paid_at,
            "completed_at": _time(data, "date_completed") if status == "completed" else None,
            "closed_at": changed_at if status in ("cancelled", "closed") else None,
            "platform_updated_at": changed_at,
            "buyer_ref": _buyer(data),
            "receiver": _receiver(data),
            "buyer_note": word(data.get("customer_note")),
            "lines": lines,
            "coupons": coupons_of(data.get("coupon_lines"), "discount", money),
            "payments": _payments(data, payable, paid_at),
            "refunds": refunds or None,
        }
    )


def _time(data: Plain, name: str) -> Any:
    """The GMT form without an offset; the local one only where it bears one."""
    gmt = moment(f"{name}_gmt", data.get(f"{name}_gmt"), zone=UTC)
    return gmt if gmt is not None else moment(name, data.get(name), zone=UTC)


def _line(one: Plain, money: Any) -> Plain:
    qty = count("quantity", one.get("quantity"))
    subtotal, paid = money("subtotal", one.get("subtotal")), money("total", one.get("total"))
    unit = subtotal // qty if subtotal is not None and qty > 0 else money("price", one.get("price"))
    return said(
        {
            "line_key": word(one.get("id"), 120),
            "title": word(one.get("name")),
            "image_url": picture(pick(one, "image", "src")),
            "platform_item_id": word(one.get("product_id"), 80),
            "platform_sku_id": word(one.get("variation_id"), 80),
            "merchant_sku": word(one.get("sku"), 80),
            "qty": qty,
            "unit_price_fen": unit,
            "discount_fen": max(subtotal - paid, 0) if subtotal is not None and paid is not None else None,
            "paid_fen": paid,
        }
    )


def _refund(case: Plain, money: Any) -> Plain:
    amount = money("refunds.total", case.get("total"))
    return {
        "refund_no": word(case.get("id"), 80),
        "status": "refunded",
        "amount_fen": abs(amount or 0),
        "reason": word(case.get("reason")),
    }


def _payments(data: Plain, payable: int | None, paid_at: Any) -> list[Plain] | None:
    number = word(data.get("transaction_id"), 120)
    if not number or paid_at is None:
        return None
    method = word(data.get("payment_method"), 24) or "unknown"
    return [{"pay_key": number, "method": method, "amount_fen": payable or 0, "paid_at": paid_at}]


def _buyer(data: Plain) -> dict[str, str]:
    billing = data.get("billing")
    name = " ".join(filter(None, (word(pick(billing, "first_name")), word(pick(billing, "last_name")))))
    customer = word(data.get("customer_id"))
    ids = {
        "woo_customer_id": customer if customer != "0" else "",
        "mobile_e164": word(pick(billing, "phone")),
        "name": name,
    }
    return {kind: value for kind, value in ids.items() if value}


def _receiver(data: Plain) -> Plain | None:
    for address in (data.get("shipping"), data.get("billing")):
        if isinstance(address, dict) and word(address.get("address_1")):
            names = (word(address.get("first_name")), word(address.get("last_name")))
            streets = (word(address.get("address_1")), word(address.get("address_2")))
            return {
                "name": " ".join(filter(None, names)),
                "phone": word(address.get("phone")) or word(pick(data, "billing", "phone")),
                "province": word(address.get("state")),
                "city": word(address.get("city")),
                "address": " ".join(filter(None, streets)),
            }
    return None
