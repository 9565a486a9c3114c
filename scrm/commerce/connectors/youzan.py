"""有赞 Youzan: MD5 over client id, raw body and client secret; messages carry the order, or its number alone."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, unquote_plus

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
    peek,
    read_object,
    short_key,
)
from scrm.commerce.connectors.values import count, dicts, moment, pick, picture, raw_case, said, total, word, yuan

SUCCESS = Answer('{"code":0,"msg":"success"}')

_STATUS = {
    "WAIT_BUYER_PAY": "pending_payment",
    "TRADE_PAID": "paid",
    "WAIT_CONFIRM": "paid",
    "WAIT_SELLER_SEND_GOODS": "paid",
    "WAIT_BUYER_CONFIRM_GOODS": "shipped",
    "TRADE_SUCCESS": "completed",
}
_STATUS_OF_TYPE = {
    "trade_TradeCreate": "pending_payment",
    "trade_TradePaid": "paid",
    "trade_TradeBuyerPay": "paid",
    "trade_TradePartlySellerShip": "partially_shipped",
    "trade_TradeSellerShip": "shipped",
    "trade_TradeSuccess": "completed",
}
_CASE_OF_TYPE = {
    "BuyerCreated": "requested",
    "RefundCreated": "requested",
    "RefundSellerAgree": "agreed",
    "RefundSellerRefuse": "rejected",
    "RefundBuyerReturnGoods": "returned_in_transit",
    "RefundSuccess": "refunded",
    "SysRefund": "refunded",
    "RefundClosed": "cancelled",
}
# The state of a case inside an order [G]; what is not here is told by its own message.
_CASE_STATE = {
    "1": "requested",
    "10": "rejected",
    "20": "waiting_return",
    "30": "returned_in_transit",
    "40": "rejected",
    "50": "cancelled",
    "60": "refunded",
}
_CASE_KIND = {"REFUND_ONLY": "refund_only", "REFUND_AND_RETURN": "return_refund", "EXCHANGE_GOODS_FLOW": "exchange"}
_ENDED = ("refunded", "cancelled", "rejected")
_PUSHED_BACK = ("2", "6")  # close_type: closed by a refund


class Options(SourceOptions):
    """Of the self-use app (自用型应用); with `kdt_id` orders of which only the number is told are asked for."""

    client_id: str = Field(min_length=1, validation_alias=AliasChoices("client_id", "app_key"))
    client_secret: SecretStr = Field(
        min_length=1, validation_alias=AliasChoices("client_secret", "secret", "app_secret")
    )
    kdt_id: str = ""
    api_base: str = "https://open.youzanyun.com"


def sign(client_id: str, body: bytes, client_secret: str) -> str:
    """Event-Sign: lower-case hex MD5 of client id, raw body and client secret."""
    return hashlib.md5(client_id.encode() + body + client_secret.encode(), usedforsecurity=False).hexdigest()


class Youzan(Hook):
    """Event-Sign, Event-Type, Client-Id; no order is promised, repeated pushes have the same msg_id."""

    kind = "youzan"
    title = "有赞"
    options_type = Options
    options: Options

    def __init__(self, key: str, options: Any) -> None:
        super().__init__(key, options)
        self._token: tuple[str, datetime] | None = None

    def receive(self, request: Incoming) -> Delivery | Answer:
        options = self.options
        expected = sign(options.client_id, request.body, options.client_secret.get_secret_value())
        given = request.headers.get("Event-Sign", "").lower()
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace")):
            raise Refused("签名不对：请核对这个来源的 client_id 和 client_secret")
        data = peek(request.body)
        if data.get("test") is True:
            return SUCCESS
        topic = word(data.get("type")) or request.headers.get("Event-Type", "")
        msg_id, number, version = word(data.get("msg_id")), word(data.get("id")), data.get("version")
        counts = isinstance(version, int) and not isinstance(version, bool) and 0 < version < 2**63
        return Delivery(
            request.body,
            short_key(msg_id) if msg_id else body_key(request.body),
            topic,
            SUCCESS,
            subject=f"{topic}:{word(data.get('kdt_id'))}:{number}" if number and counts else "",
            version=version if isinstance(version, int) and counts else 0,
        )

    def read(self, topic: str, body: bytes) -> Reading:
        data = read_object(body)
        message = _message(data)
        shop_key = self.options.shop_key or word(data.get("kdt_id"), 80) or self.options.kdt_id or self.key
        if "Refund" in topic or "refund" in topic:
            return _refund_reading(topic, data, message, shop_key)
        inside = message.get("full_order_info")
        full: Plain = inside if isinstance(inside, dict) else message
        if isinstance(full.get("order_info"), dict):
            # Cases and parcels stand beside the order in some messages, inside it in others.
            beside: Plain = {name: message[name] for name in ("refund_order", "delivery_order") if name in message}
            return Reading([read_youzan_order({**beside, **full}, shop_key)])
        if topic and not topic.startswith(("trade_", "youzan_trade_")):
            return Reading(note=f"{topic[:60]} 与订单无关")
        number = word(message.get("tid")) or word(data.get("tid")) or word(data.get("id"))
        if not number:
            raise Unreadable("缺少订单号 tid")
        return Reading([_thin_order(number, topic, data, message, shop_key)], numbers=[number])

    def can_fetch(self) -> bool:
        return bool(self.options.kdt_id)

    async def fetch(self, session: ClientSession, number: str, now: datetime) -> list[Plain]:
        """youzan.trade.get 4.0.2; a token lives about seven days."""
        token = await self._find_token(session, now)
        url = f"{self.options.api_base}/api/youzan.trade.get/4.0.2"
        found = await ask(session, url, {"tid": number}, {"access_token": token})
        if pick(found, "gw_err_resp"):
            self._token = None
            raise ConnectionError(f"有赞没有给出订单：{word(pick(found, 'gw_err_resp', 'err_msg'), 100)}")
        full = pick(found, "data", "full_order_info")
        if not isinstance(full, dict):
            raise ConnectionError(f"有赞没有给出订单：{word(found.get('message') or found.get('msg'), 100)}")
        inside = found["data"]
        beside: Plain = {name: inside[name] for name in ("refund_order", "delivery_order") if name in inside}
        shop_key = self.options.shop_key or self.options.kdt_id
        return [read_youzan_order({**beside, **full}, shop_key)]

    async def _find_token(self, session: ClientSession, now: datetime) -> str:
        if self._token is None or self._token[1] <= now:
            asked = {
                "client_id": self.options.client_id,
                "client_secret": self.options.client_secret.get_secret_value(),
                "authorize_type": "silent",
                "grant_id": self.options.kdt_id,
                "refresh": False,
            }
            found = await ask(session, f"{self.options.api_base}/auth/token", asked)
            token = word(pick(found, "data", "access_token"))
            if not token:
                raise ConnectionError("有赞没有发放 access_token，请核对 client_id、client_secret 和 kdt_id")
            until = moment("expires", pick(found, "data", "expires")) or now + timedelta(hours=1)
            self._token = (token, until - timedelta(minutes=10))
        return self._token[0]


def _message(data: Plain) -> Plain:
    """`msg` as it comes: an object, JSON text, or URL-encoded JSON text; {} where there is none."""
    told = data.get("msg")
    if isinstance(told, dict):
        return told
    if told is None or told == "":
        return {}
    if not isinstance(told, str):
        raise Unreadable("msg 应为文本或对象")
    for text in (told, unquote_plus(told), unquote(told)):
        try:
            found = plain_json.decode(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    raise Unreadable("msg 解不开：应为 URL 编码的 JSON")


def _closed(info: Plain, is_paid: bool) -> str:
    return "closed" if is_paid or word(info.get("close_type")) in _PUSHED_BACK else "cancelled"


def _thin_order(number: str, topic: str, data: Plain, message: Plain, shop_key: str) -> Plain:
    """What a message without the order says: which state it came to, and when."""
    raw = word(message.get("status")) or word(data.get("status"))
    paid_at = moment("pay_time", message.get("pay_time"))
    status = _STATUS_OF_TYPE.get(topic) or _STATUS.get(raw, "unknown")
    if topic == "trade_TradeClose" or raw == "TRADE_CLOSED":
        status = _closed(message, paid_at is not None)
    is_paid = status in ("paid", "partially_shipped", "shipped", "completed")
    return said(
        {
            "channel": "youzan",
            "shop_key": shop_key,
            "order_no": number,
            "status": status,
            "raw_status": raw,
            "paid_fen": yuan("payment", message.get("payment")) if is_paid else None,
            "paid_at": paid_at,
            "platform_updated_at": moment("update_time", message.get("update_time")),
            "shipments": _thin_parcel(message),
        }
    )


def _thin_parcel(message: Plain) -> list[Plain] | None:
    number = word(message.get("express_no"), 80)
    return [{"tracking_no": number, "source": "youzan"}] if number else None


def _refund_reading(topic: str, data: Plain, message: Plain, shop_key: str) -> Reading:
    number, case = word(message.get("tid")), word(message.get("refund_id"), 80)
    if not number or not case:
        raise Unreadable("退款消息缺少 tid 或 refund_id")
    status = _CASE_OF_TYPE.get(topic.rsplit("_", 1)[-1])
    if status is None:
        return Reading(numbers=[number], note=f"不认识的退款消息 {topic[:60]}")
    changed_at = moment("update_time", message.get("update_time") or message.get("modified"))
    amount = message.get("refunded_fee", message.get("refund_fee"))
    refund = said(
        {
            "refund_no": case,
            "status": status,
            "type": _CASE_KIND.get(word(message.get("refund_type")), ""),
            "amount_fen": yuan("refunded_fee", amount) or 0,
            "reason": word(message.get("refund_reason")),
            "created_at": moment("create_time", message.get("create_time")) or changed_at,
            "finished_at": changed_at if status in _ENDED else None,
        }
    )
    order = {
        "channel": "youzan",
        "shop_key": shop_key,
        "order_no": number,
        "status": "unknown",
        "refunds": [refund],
    }
    return Reading([order], numbers=[number])


def read_youzan_order(full: Plain, shop_key: str) -> Plain:
    """`full_order_info` as canonical values; raises Unreadable."""
    info, pay = full["order_info"], full.get("pay_info") or {}
    number = word(info.get("tid"))
    if not number:
        raise Unreadable("order_info 里缺少订单号 tid")
    paid_at = moment("pay_time", info.get("pay_time"))
    raw = word(info.get("status"))
    parcels = _parcels(full)
    status = _closed(info, paid_at is not None) if raw == "TRADE_CLOSED" else _STATUS.get(raw, "unknown")
    if status == "paid" and parcels:
        status = "partially_shipped"
    payment = yuan("payment", pick(pay, "payment"))
    real = yuan("real_payment", pick(pay, "real_payment"))
    closed_at = moment("update_time", info.get("update_time")) if status in ("cancelled", "closed") else None
    return said(
        {
            "channel": "youzan",
            "shop_key": shop_key,
            "order_no": number,
            "status": status,
            "raw_status": raw,
            "goods_fen": total(yuan("total_fee", line.get("total_fee")) for line in dicts(full.get("orders"))),
            "freight_fen": yuan("post_fee", pick(pay, "post_fee")),
            "discount_fen": _discount(full.get("order_promotion")),
            "payable_fen": payment,
            "paid_fen": ((payment if real is None else real) or 0) if paid_at is not None else 0,
            "ordered_at": moment("created", info.get("created")),
            "paid_at": paid_at,
            "shipped_at": moment("consign_time", info.get("consign_time")),
            "completed_at": moment("success_time", info.get("success_time")) if status == "completed" else None,
            "closed_at": closed_at,
            "platform_updated_at": moment("update_time", info.get("update_time")),
            "buyer_ref": _buyer(full.get("buyer_info")),
            "receiver": _receiver(full.get("address_info")),
            "buyer_note": word(pick(full, "remark_info", "buyer_message")),
            "seller_note": word(pick(full, "remark_info", "trade_memo")),
            "lines": [_line(line) for line in dicts(full.get("orders"))] if "orders" in full else None,
            "coupons": _coupons(full.get("order_promotion")),
            "payments": _payments(pay, payment, paid_at),
            "shipments": parcels or None,
            "refunds": _refunds(full) or None,
        }
    )


def _discount(promotion: Any) -> int | None:
    given = (
        yuan("order_discount_fee", pick(promotion, "order_discount_fee")),
        yuan("item_discount_fee", pick(promotion, "item_discount_fee")),
        -(yuan("adjust_fee", pick(promotion, "adjust_fee")) or 0) if isinstance(promotion, dict) else None,
    )
    amount = total(iter(given))
    return None if amount is None else max(amount, 0)


def _coupons(promotion: Any) -> list[Plain] | None:
    """What was taken off by a coupon or a code; other promotions of the order have no coupon_id."""
    used = [
        {"code": code, "discount_fen": abs(yuan("discount_fee", one.get("discount_fee")) or 0)}
        for one in dicts(pick(promotion, "order"))
        if (code := word(one.get("coupon_code") or one.get("coupon_id"), 64)) not in ("", "0")
    ]
    return used or None


def _line(line: Plain) -> Plain:
    return said(
        {
            "line_key": word(line.get("oid"), 120),
            "title": word(line.get("title")),
            "spec": _spec(line.get("sku_properties_name")),
            "image_url": picture(line.get("pic_path")),
            "platform_item_id": word(line.get("item_id"), 80),
            "platform_sku_id": word(line.get("sku_id"), 80),
            "merchant_sku": word(line.get("outer_sku_id") or line.get("outer_item_id"), 80),
            "qty": count("num", line.get("num")),
            "unit_price_fen": yuan("price", line.get("price")),
            "paid_fen": yuan("orders.payment", line.get("payment")),
            "is_gift": True if word(line.get("is_present")) == "1" or line.get("is_present") is True else None,
        }
    )


def _spec(told: Any) -> str:
    """`[{"k":"颜色","v":"红"}]` as text, or the text itself."""
    text = word(told)
    if text.startswith("["):
        try:
            return " ".join(word(one.get("v")) for one in dicts(plain_json.decode(text)))
        except ValueError:
            return text
    return text


def _payments(pay: Any, payment: int | None, paid_at: datetime | None) -> list[Plain] | None:
    numbers = pick(pay, "transaction")
    number = word(numbers[0], 120) if isinstance(numbers, list) and numbers else ""
    if not number or paid_at is None:
        return None
    real = yuan("real_payment", pick(pay, "real_payment"))
    return [{"pay_key": number, "amount_fen": (payment if real is None else real) or 0, "paid_at": paid_at}]


def _parcels(full: Plain) -> list[Plain]:
    parcels = []
    for sent in dicts(full.get("delivery_order")):
        for dist in dicts(sent.get("dists")):
            express = dist.get("express_info") if isinstance(dist.get("express_info"), dict) else dist
            number = word(pick(express, "express_no"), 80)
            if number:
                oids = [word(one.get("oid")) for one in dicts(sent.get("oids"))]
                parcels.append(
                    said(
                        {
                            "tracking_no": number,
                            "carrier_code": word(pick(express, "express_id"), 40),
                            "shipped_at": moment("create_time", dist.get("create_time")),
                            "line_keys": [oid for oid in oids if oid] or None,
                            "source": "youzan",
                        }
                    )
                )
    return parcels


def _refunds(full: Plain) -> list[Plain]:
    cases = []
    for case in dicts(full.get("refund_order")):
        number, said_state = word(case.get("refund_id"), 80), word(case.get("refund_state"), 80)
        if not number or not said_state:
            continue
        status = _CASE_STATE.get(said_state, "unknown")
        at = moment("refund_time", case.get("refund_time"))
        ended = {"finished_at": at} if status in _ENDED and at else {}
        amount = yuan("refund_fee", case.get("refund_fee")) or 0
        cases.append(
            {"refund_no": number, "status": status, "amount_fen": amount, **ended, **raw_case(status, said_state)}
        )
    return cases


def _buyer(buyer: Any) -> dict[str, str]:
    ids = {
        "wx_unionid": word(pick(buyer, "union_id")) or word(pick(buyer, "unionid")),
        "youzan_open_id": word(pick(buyer, "yz_open_id")),
        "wx_openid": word(pick(buyer, "outer_user_id")),
        "mobile_e164": word(pick(buyer, "buyer_phone")),
    }
    return {kind: value for kind, value in ids.items() if value}


def _receiver(address: Any) -> Plain | None:
    if not isinstance(address, dict):
        return None
    return {
        "name": word(address.get("receiver_name")),
        "phone": word(address.get("receiver_tel")),
        "province": word(address.get("delivery_province")),
        "city": word(address.get("delivery_city")),
        "district": word(address.get("delivery_district")),
        "address": word(address.get("delivery_address")),
    }
