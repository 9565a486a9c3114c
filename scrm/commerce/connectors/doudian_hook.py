"""抖店 Doudian: MD5 over app key, raw body and app secret; an array of messages that name an order and its new state."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

import msgspec
from aiohttp import ClientSession
from pydantic import AliasChoices, Field, SecretStr

from scrm.commerce.connectors import plain_json
from scrm.commerce.connectors.asking import ask
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
    read_json,
    short_key,
)
from scrm.commerce.connectors.values import count, dicts, epoch, fen, pick, said, total, word

SUCCESS = Answer('{"code":0,"msg":"success"}')

# tag: the state the order has come to, and where its time stands.
_ORDER_TAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "100": ("pending_payment", ("create_time",)),
    "110": ("paid", ("pay_time", "update_time", "create_time")),
    "101": ("paid", ("pay_time", "update_time")),
    "108": ("partially_shipped", ("update_time", "ship_time")),
    "102": ("shipped", ("update_time", "ship_time")),
    "103": ("completed", ("complete_time", "update_time")),
    "106": ("cancelled", ("cancel_time", "update_time")),
}
_CASE_TAGS = {
    "200": "requested",
    "201": "agreed",
    "202": "agreed",
    "203": "returned_in_transit",
    "204": "rejected",
    "205": "rejected",
    "206": "refunded",
    "207": "cancelled",
}
_ENDED = ("refunded", "cancelled", "rejected")
_CASE_KIND = {
    "0": "return_refund",
    "1": "refund_only_shipped",
    "2": "refund_only_unshipped",
    "3": "exchange",
    "6": "price_protection",
    "7": "reissue",
    "8": "repair",
}
_STATUS = {
    "1": "pending_payment",
    "103": "pending_payment",
    "105": "paid",
    "2": "paid",
    "101": "partially_shipped",
    "3": "shipped",
    "5": "completed",
    "21": "closed",
    "22": "closed",
    "39": "closed",
}


class Options(SourceOptions):
    """Of the self-use app (自用型应用); with `shop_id` the orders themselves are asked for."""

    app_key: str = Field(min_length=1, validation_alias=AliasChoices("app_key", "app_id", "client_id"))
    app_secret: SecretStr = Field(min_length=1, validation_alias=AliasChoices("app_secret", "secret", "client_secret"))
    shop_id: str = ""
    api_base: str = "https://openapi-fxg.jinritemai.com"


def sign(app_key: str, body: bytes, app_secret: str) -> str:
    """event-sign: lower-case hex MD5 of app key, raw body and app secret."""
    return hashlib.md5(app_key.encode() + body + app_secret.encode(), usedforsecurity=False).hexdigest()


def sign_call(app_secret: str, app_key: str, method: str, param_json: str, timestamp: str) -> str:
    """HMAC-SHA256 hex over the sorted parameters between two secrets (sign_method hmac-sha256)."""
    text = f"{app_secret}app_key{app_key}method{method}param_json{param_json}timestamp{timestamp}v2{app_secret}"
    return hmac.digest(app_secret.encode(), text.encode(), "sha256").hex()


class Doudian(Hook):
    """`event-sign` and `app-id`; tag 0 asks whether we are there."""

    kind = "doudian"
    title = "抖店"
    options_type = Options
    options: Options

    def __init__(self, key: str, options: Any) -> None:
        super().__init__(key, options)
        self._token: tuple[str, datetime] | None = None

    def receive(self, request: Incoming) -> Delivery | Answer:
        options = self.options
        expected = sign(options.app_key, request.body, options.app_secret.get_secret_value())
        given = request.headers.get("event-sign", "").lower()
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            raise Refused("签名不对：请核对这个来源的 app_key 和 app_secret")
        messages = _peek(request.body)
        tags = [word(message.get("tag")) for message in messages]
        if tags and all(tag == "0" for tag in tags):
            return SUCCESS
        msg_id = word(messages[0].get("msg_id")) if len(messages) == 1 else ""
        key = short_key(msg_id) if msg_id else body_key(request.body)
        return Delivery(request.body, key, ",".join(dict.fromkeys(tags))[:80], SUCCESS)

    def read(self, topic: str, body: bytes) -> Reading:
        value = read_json(body)
        messages = dicts(value if isinstance(value, list) else [value])
        if not messages:
            raise Unreadable("内容应为消息列表 [{tag, msg_id, data}]")
        orders: list[Plain] = []
        numbers: list[str] = []
        wrong: list[str] = []
        for message in messages:
            try:
                number = self._add(message, orders)
            except Unreadable as error:
                wrong.append(str(error))
                continue
            if number:
                numbers.append(number)
        if wrong and not numbers:
            raise Unreadable("；".join(wrong[:5]))
        note = "" if numbers else "与订单无关"
        return Reading(orders, list(dict.fromkeys(numbers)), note, "；".join(wrong[:5]))

    def _add(self, message: Plain, orders: list[Plain]) -> str:
        """What one message says, added to `orders`; the order's number, '' where it is about none."""
        tag = word(message.get("tag"))
        if tag == "0":
            return ""
        data = _data(message.get("data"))
        number = word(data.get("p_id")) or word(data.get("order_id"))
        if not number:
            if tag in _ORDER_TAGS or tag in _CASE_TAGS:
                raise Unreadable(f"tag {tag} 的消息缺少订单号 p_id")
            return ""
        shop_key = self.options.shop_key or word(data.get("shop_id"), 80) or self.options.shop_id or self.key
        order: Plain = {"channel": "doudian", "shop_key": shop_key, "order_no": number}
        if tag in _ORDER_TAGS:
            orders.append(order | _told(tag, data))
        elif tag in _CASE_TAGS:
            orders.append(order | {"status": "unknown", "refunds": [_case(tag, data)]})
        return number

    def can_fetch(self) -> bool:
        return bool(self.options.shop_id)

    async def fetch(self, session: ClientSession, number: str, now: datetime) -> list[Plain]:
        """order.orderDetail; the token lives about seven days."""
        if self._token is None or self._token[1] <= now:
            asked = {"code": "", "grant_type": "authorization_self", "shop_id": self.options.shop_id}
            data = await self._call(session, "token.create", asked, "", now)
            lives = timedelta(seconds=max(count("expires_in", data.get("expires_in"), 3600) - 600, 60))
            self._token = (word(data.get("access_token")), now + lives)
        data = await self._call(session, "order.orderDetail", {"shop_order_id": number}, self._token[0], now)
        detail = data.get("shop_order_detail")
        if not isinstance(detail, dict):
            raise ConnectionError("抖店没有给出订单")
        shop_key = self.options.shop_key or word(detail.get("shop_id"), 80) or self.options.shop_id
        return [read_doudian_order(detail, shop_key)]

    async def _call(self, session: ClientSession, method: str, param: Plain, token: str, now: datetime) -> Plain:
        param_json = msgspec.json.encode(param, order="sorted").decode()
        secret, timestamp = self.options.app_secret.get_secret_value(), str(int(now.timestamp()))
        query = {
            "method": method,
            "app_key": self.options.app_key,
            "param_json": param_json,
            "timestamp": timestamp,
            "v": "2",
            "sign_method": "hmac-sha256",
            "sign": sign_call(secret, self.options.app_key, method, param_json, timestamp),
        }
        if token:
            query["access_token"] = token
        found = await ask(session, f"{self.options.api_base}/{method.replace('.', '/')}", param, query)
        if found.get("code") not in (10000, 0) or not isinstance(found.get("data"), dict):
            self._token = None
            raise ConnectionError(f"抖店没有应答 {method}：{word(found.get('sub_msg') or found.get('msg'), 100)}")
        return dict(found["data"])


def _peek(body: bytes) -> list[Plain]:
    try:
        value = read_json(body)
    except Unreadable:
        return []
    return dicts(value if isinstance(value, list) else [value])


def _data(value: Any) -> Plain:
    """`data` is JSON text inside JSON."""
    if isinstance(value, str):
        try:
            value = plain_json.decode(value)
        except ValueError:
            raise Unreadable("data 解不开：应为 JSON 文本") from None
    if not isinstance(value, dict):
        raise Unreadable("data 应为对象")
    return value


def _told(tag: str, data: Plain) -> Plain:
    """What a message about an order says; what it does not say stays as it is."""
    status, names = _ORDER_TAGS[tag]
    at = next((found for name in names if (found := epoch(name, data.get(name))) is not None), None)
    paid_at = epoch("pay_time", data.get("pay_time"))
    if status == "cancelled" and paid_at is not None:
        status = "closed"
    is_paid = status in ("paid", "partially_shipped", "shipped", "completed")
    return said(
        {
            "status": status,
            "raw_status": word(data.get("order_status")),
            "payable_fen": fen("order_amount", data.get("order_amount")),
            "paid_fen": fen("pay_amount", data.get("pay_amount")) if is_paid else None,
            "ordered_at": epoch("create_time", data.get("create_time")) if tag == "100" else None,
            "paid_at": paid_at,
            "shipped_at": at if tag == "102" else None,
            "completed_at": at if tag == "103" else None,
            "closed_at": at if tag == "106" else None,
            "platform_updated_at": at,
            "shipments": _parcels(data.get("logistics_msg"), at if tag in ("102", "108") else None) or None,
        }
    )


def _parcels(told: Any, at: datetime | None) -> list[Plain]:
    if isinstance(told, str) and told[:1] in "{[":
        try:
            told = plain_json.decode(told)
        except ValueError:
            return []
    parcels = []
    for one in dicts(told if isinstance(told, list) else [told]):
        number = word(one.get("logistics_code") or one.get("tracking_no"), 80)
        if number:
            parcel = {
                "tracking_no": number,
                "carrier_code": word(one.get("express_company_id"), 40),
                "carrier_name": word(one.get("company_name")),
                "shipped_at": at,
                "source": "doudian",
            }
            parcels.append(said(parcel))
    return parcels


def _case(tag: str, data: Plain) -> Plain:
    number = word(data.get("aftersale_id"), 80)
    if not number:
        raise Unreadable(f"tag {tag} 的消息缺少售后单号 aftersale_id")
    status = _CASE_TAGS[tag]
    at = next(
        (
            found
            for name in ("success_time", "update_time", "agree_time", "apply_time", "create_time")
            if (found := epoch(name, data.get(name))) is not None
        ),
        None,
    )
    return said(
        {
            "refund_no": number,
            "status": status,
            "type": _CASE_KIND.get(word(data.get("aftersale_type")), ""),
            "amount_fen": fen("refund_amount", data.get("refund_amount")) or 0,
            "created_at": at if tag == "200" else None,
            "finished_at": at if status in _ENDED else None,
        }
    )


def read_doudian_order(data: Plain, shop_key: str) -> Plain:
    """`shop_order_detail` as canonical values; raises Unreadable."""
    number = word(data.get("order_id"))
    if not number:
        raise Unreadable("缺少订单号 order_id")
    raw = word(data.get("main_status")) or word(data.get("order_status"))
    paid_at = epoch("pay_time", data.get("pay_time"))
    status = _STATUS.get(raw) or _STATUS.get(word(data.get("order_status")), "unknown")
    if raw == "4":
        status = "closed" if paid_at is not None else "cancelled"
    amount, freight = fen("order_amount", data.get("order_amount")), fen("post_amount", data.get("post_amount"))
    given = fen("promotion_amount", data.get("promotion_amount"))
    updated_at = epoch("update_time", data.get("update_time"))
    parcels = _parcels(data.get("logistics_info"), epoch("ship_time", data.get("ship_time")))
    return said(
        {
            "channel": "doudian",
            "shop_key": shop_key,
            "order_no": number,
            "status": status,
            "raw_status": raw,
            "goods_fen": max(amount - (freight or 0) + (given or 0), 0) if amount is not None else None,
            "freight_fen": freight,
            "discount_fen": fen("promotion_shop_amount", data.get("promotion_shop_amount")),
            "platform_discount_fen": total(
                fen(name, data.get(name)) for name in ("promotion_platform_amount", "promotion_talent_amount")
            ),
            "payable_fen": amount,
            "paid_fen": fen("pay_amount", data.get("pay_amount")) if paid_at is not None else 0,
            "ordered_at": epoch("create_time", data.get("create_time")),
            "paid_at": paid_at,
            "shipped_at": epoch("ship_time", data.get("ship_time")),
            "completed_at": epoch("finish_time", data.get("finish_time")) if status == "completed" else None,
            "closed_at": updated_at if status in ("cancelled", "closed") else None,
            "platform_updated_at": updated_at,
            "buyer_ref": said({"doudian_open_id": word(data.get("doudian_open_id"))}),
            "receiver": _receiver(data),
            "buyer_note": word(data.get("buyer_words")),
            "seller_note": word(data.get("seller_words")),
            "lines": [_line(one) for one in dicts(data.get("sku_order_list"))] or None,
            "coupons": _coupons(data.get("promotion_detail")),
            "shipments": parcels or None,
        }
    )


def _line(one: Plain) -> Plain:
    qty, goods = count("item_num", one.get("item_num")), fen("origin_amount", one.get("origin_amount"))
    return said(
        {
            "line_key": word(one.get("order_id"), 120),
            "title": word(one.get("product_name")),
            "spec": " ".join(word(part.get("value")) for part in dicts(one.get("spec"))),
            "platform_item_id": word(one.get("product_id"), 80),
            "platform_sku_id": word(one.get("sku_id"), 80),
            "merchant_sku": word(one.get("out_sku_id") or one.get("code"), 80),
            "qty": qty,
            "unit_price_fen": goods,
            "paid_fen": fen("pay_amount", one.get("pay_amount")),
        }
    )


def _coupons(promotion: Any) -> list[Plain] | None:
    """Coupons of the shop, the platform and the presenter that the order used, each once."""
    used = {
        code: {"code": code, "discount_fen": fen("coupon_amount", one.get("coupon_amount")) or 0}
        for by in ("shop_discount_detail", "platform_discount_detail", "kol_discount_detail")
        for one in dicts(pick(promotion, by, "coupon_info"))
        if (code := word(one.get("coupon_id"), 64))
    }
    return list(used.values()) or None


def _receiver(data: Plain) -> Plain | None:
    """Only masks: what is encrypted stays with the platform."""
    name, phone = word(data.get("mask_post_receiver")), word(data.get("mask_post_tel"))
    place = data.get("mask_post_addr") if isinstance(data.get("mask_post_addr"), dict) else data.get("post_addr")
    if not (name or phone or place):
        return None
    return {
        "name": name,
        "phone": phone,
        "province": word(pick(place, "province", "name")),
        "city": word(pick(place, "city", "name")),
        "district": word(pick(place, "town", "name")),
    }
