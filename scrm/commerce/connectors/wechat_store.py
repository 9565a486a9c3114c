"""微信小店 WeChat Store: WeChat's message push, plain or in safe mode; events name an order, the API tells it."""

import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientSession
from pydantic import Field, SecretStr, field_validator

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
    read_object,
)
from scrm.commerce.connectors.values import count, dicts, epoch, fen, pick, picture, raw_case, said, word
from scrm.wecom.callback_xml import Unreadable as NoXml
from scrm.wecom.callback_xml import parse_xml
from scrm.wecom.crypto import BadCallback, CallbackCrypto, encrypted_part

_SUCCESS = Answer("success", "text/plain")
_AES_KEY = re.compile(r"[A-Za-z0-9]{43}")
_ORDER_EVENTS = {
    "channels_ec_order_new": "pending_payment",
    "channels_ec_order_pay": "paid",
    "channels_ec_order_confirm": "completed",
    "channels_ec_order_settle": "unknown",
    "channels_ec_order_ext_info_update": "unknown",
    "product_order_status_update": "unknown",
}
_STATUS = {
    "10": "pending_payment",
    "12": "paid",
    "13": "paid",
    "17": "paid",
    "20": "paid",
    "21": "partially_shipped",
    "30": "shipped",
    "100": "completed",
    "200": "closed",
    "250": "cancelled",
}
_CASES = {
    "MERCHANT_PROCESSING": "requested",
    "USER_WAIT_CONFIRM": "requested",
    "USER_WAIT_CONFIRM_UPDATE": "requested",
    "USER_WAIT_HANDLE_MERCHANT_AFTER_SALE": "requested",
    "USER_WAIT_RETURN": "waiting_return",
    "MERCHANT_WAIT_RECEIPT": "returned_in_transit",
    "PLATFORM_REFUNDING": "refunding",
    "MERCHANT_OVERDUE_REFUND": "refunding",
    "MERCHANT_REFUND_SUCCESS": "refunded",
    "MERCHANT_RETURN_SUCCESS": "refunded",
    "USER_CANCELD": "cancelled",
    "RETURN_CLOSED": "cancelled",
    "MERCHANT_REJECT_REFUND": "rejected",
    "MERCHANT_REJECT_RETURN": "rejected",
    "PLATFORM_REFUND_FAIL": "failed",
    "MERCHANT_REFUND_RETRY_FAIL": "failed",
    "MERCHANT_FAIL": "failed",
}
_CASE_KIND = {"REFUND": "refund_only", "RETURN": "return_refund"}
_METHODS = {"1": "wechat", "2": "wechat", "3": "free", "4": "points"}
_TOKEN_ERRORS = (40001, 40014, 42001)


class Options(SourceOptions):
    """Of the shop's message push; without encoding_aes_key it is plain mode, with `secret` orders are asked for."""

    app_id: str = Field(min_length=1)
    token: SecretStr = Field(min_length=1)
    encoding_aes_key: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    api_base: str = "https://api.weixin.qq.com"

    @field_validator("encoding_aes_key")
    @classmethod
    def _is_aes_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _AES_KEY.fullmatch(value.get_secret_value()):
            raise ValueError("expected 43 letters and digits, or nothing for plain mode")
        return value


class WeChatStore(Hook):
    """GET verifies the address; POST is answered with `success`."""

    kind = "wxstore"
    title = "微信小店"
    options_type = Options
    options: Options

    def __init__(self, key: str, options: Any) -> None:
        super().__init__(key, options)
        aes_key = self.options.encoding_aes_key.get_secret_value()
        token = self.options.token.get_secret_value()
        self._crypto = CallbackCrypto(token, aes_key, self.options.app_id) if aes_key else None
        self._token: tuple[str, datetime] | None = None

    def verify_url(self, request: Incoming) -> Answer:
        self._check_plain(request)
        echo = request.query.get("echostr", "")
        if not echo:
            raise Refused("缺少参数 echostr")
        return Answer(echo, "text/plain")

    def receive(self, request: Incoming) -> Delivery | Answer:
        body = self._open(request)
        try:
            event = _event(body)[0]
        except Unreadable:
            event = ""
        return Delivery(body, body_key(body), event, _SUCCESS)

    def _open(self, request: Incoming) -> bytes:
        """The plain message; in safe mode the signature covers what is encrypted."""
        if self._crypto is None:
            self._check_plain(request)
            return request.body
        query = request.query
        try:
            return self._crypto.read(
                query.get("msg_signature", ""),
                query.get("timestamp", ""),
                query.get("nonce", ""),
                encrypted_part(request.body),
            )
        except BadCallback as error:
            raise Refused(_WHY.get(error.step, "消息解不开：请核对 EncodingAESKey，推送方式应为安全模式")) from None

    def _check_plain(self, request: Incoming) -> None:
        given = [
            self.options.token.get_secret_value(),
            request.query.get("timestamp", ""),
            request.query.get("nonce", ""),
        ]
        joined = "".join(sorted(given)).encode("utf-8", "replace")
        expected = hashlib.sha1(joined, usedforsecurity=False).hexdigest()
        signature = request.query.get("signature", "").encode("utf-8", "replace")
        if not hmac.compare_digest(expected.encode(), signature):
            raise Refused(_WHY["signature"])

    def read(self, topic: str, body: bytes) -> Reading:
        event, data = _event(body)
        inside = _holder(data)
        number = word(inside.get("order_id"))
        if "aftersale" in event:
            return self._case_reading(inside, number)
        status = self._status(event, inside)
        if status is None:
            return Reading(note=f"{event[:60] or '这条消息'} 与订单无关")
        if not number:
            raise Unreadable("缺少订单号 order_id")
        at = epoch("CreateTime", data.get("CreateTime"))
        order = {
            "channel": "wxstore",
            "shop_key": self.options.shop_key or self.options.app_id,
            "order_no": number,
            "status": status,
            "raw_status": word(inside.get("status")),
            "paid_at": epoch("pay_time", inside.get("pay_time")),
            "completed_at": at if status == "completed" else None,
            "closed_at": at if status in ("closed", "cancelled") else None,
            # Only what speaks of the state may say how new it is.
            "platform_updated_at": at if status != "unknown" else None,
        }
        return Reading([said(order)], [number])

    def _status(self, event: str, inside: Plain) -> str | None:
        """None: nothing about an order."""
        if event == "channels_ec_order_deliver":
            return "shipped" if word(inside.get("finish_delivery")) == "1" else "partially_shipped"
        if event == "channels_ec_order_cancel":
            return "closed" if word(inside.get("cancel_type")) == "3" else "cancelled"
        if event == "product_order_status_update":
            return _STATUS.get(word(inside.get("status")), "unknown")
        return _ORDER_EVENTS.get(event)

    def _case_reading(self, inside: Plain, number: str) -> Reading:
        case = word(inside.get("after_sale_order_id"), 80)
        if not number or not case:
            raise Unreadable("售后消息缺少 order_id 或 after_sale_order_id")
        said_state = word(inside.get("status"), 80)
        if not said_state:
            return Reading(numbers=[number], note="售后消息没有状态")
        status = _CASES.get(said_state, "unknown")
        order = {
            "channel": "wxstore",
            "shop_key": self.options.shop_key or self.options.app_id,
            "order_no": number,
            "status": "unknown",
            "refunds": [{"refund_no": case, "status": status, **raw_case(status, said_state)}],
        }
        return Reading([order], [number])

    def can_fetch(self) -> bool:
        return bool(self.options.secret.get_secret_value())

    async def fetch(self, session: ClientSession, number: str, now: datetime) -> list[Plain]:
        """order/get, then each after-sale case of it."""
        asked = {"order_id": number, "encode_sensitive_info": False}
        found = await self._call(session, "channels/ec/order/get", asked, now)
        order = found.get("order")
        if not isinstance(order, dict):
            raise ConnectionError("微信小店没有给出订单")
        read = read_store_order(order, self.options.shop_key or self.options.app_id)
        cases = []
        for one in dicts(pick(order, "aftersale_detail", "aftersale_order_list"))[:50]:
            asked = {"after_sale_order_id": word(one.get("aftersale_order_id") or one.get("after_sale_order_id"))}
            told = await self._call(session, "channels/ec/aftersale/getaftersaleorder", asked, now)
            case = _case(told.get("after_sale_order"))
            cases += [case] if case else []
        return [{**read, "refunds": cases} if cases else read]

    async def _call(self, session: ClientSession, path: str, asked: Plain, now: datetime) -> Plain:
        if self._token is None or self._token[1] <= now:
            grant = {
                "grant_type": "client_credential",
                "appid": self.options.app_id,
                "secret": self.options.secret.get_secret_value(),
            }
            found = await ask(session, f"{self.options.api_base}/cgi-bin/stable_token", grant)
            token = word(found.get("access_token"))
            if not token:
                raise ConnectionError(f"微信没有发放 access_token：错误码 {word(found.get('errcode'))}")
            lives = timedelta(seconds=max(count("expires_in", found.get("expires_in"), 7200) - 300, 60))
            self._token = (token, now + lives)
        found = await ask(session, f"{self.options.api_base}/{path}", asked, {"access_token": self._token[0]})
        if found.get("errcode", 0):
            if found["errcode"] in _TOKEN_ERRORS:
                self._token = None
            raise ConnectionError(f"微信小店没有应答 {path}：错误码 {word(found['errcode'])}")
        return found


_WHY = {
    "signature": "签名不对：请核对这个来源的 token 是不是消息推送里的 Token",
    "receiveid": "这条消息属于另一个小店：请核对 app_id",
    "envelope": "消息没有加密：请在后台选择安全模式，或者去掉 encoding_aes_key",
    "xml": "消息里声明了 DTD 或实体，已拒绝",
}


def _event(body: bytes) -> tuple[str, Plain]:
    """The event's name and the whole message, from JSON or XML."""
    if body.lstrip()[:1] == b"<":
        try:
            data = parse_xml(body)
        except NoXml as error:
            raise Unreadable(str(error)) from None
    else:
        data = read_object(body)
    return word(data.get("Event")), data


def _holder(data: Plain) -> Plain:
    """The object that holds the order's number, by whatever name; the message itself otherwise."""
    for value in (data, *data.values()):
        if isinstance(value, dict) and "order_id" in value:
            return value
    return next((value for value in data.values() if isinstance(value, dict)), data)


def read_store_order(data: Plain, shop_key: str) -> Plain:
    """`order` of channels/ec/order/get as canonical values; raises Unreadable."""
    number = word(data.get("order_id"))
    if not number:
        raise Unreadable("缺少订单号 order_id")
    detail = data.get("order_detail") if isinstance(data.get("order_detail"), dict) else {}
    price = pick(detail, "price_info")
    paid_at = epoch("pay_time", pick(detail, "pay_info", "pay_time"))
    raw = word(data.get("status"))
    status = ("closed" if paid_at else "cancelled") if raw == "190" else _STATUS.get(raw, "unknown")
    payable = fen("order_price", pick(price, "order_price"))
    updated_at = epoch("update_time", data.get("update_time"))
    confirmed = epoch("confirm_receipt_time", pick(detail, "ext_info", "confirm_receipt_time"))
    return said(
        {
            "channel": "wxstore",
            "shop_key": shop_key,
            "order_no": number,
            "status": status,
            "raw_status": raw,
            "goods_fen": fen("product_price", pick(price, "product_price")),
            "freight_fen": fen("freight", pick(price, "freight")),
            "discount_fen": fen("discounted_price", pick(price, "discounted_price")),
            "payable_fen": payable,
            "paid_fen": payable if paid_at is not None else 0,
            "ordered_at": epoch("create_time", data.get("create_time")),
            "paid_at": paid_at,
            "completed_at": (confirmed or updated_at) if status == "completed" else None,
            "closed_at": updated_at if status in ("closed", "cancelled") else None,
            "platform_updated_at": updated_at,
            "buyer_ref": _ids(data, "present_giver_") or _ids(data),
            "receiver": _receiver(pick(detail, "delivery_info", "address_info")),
            "buyer_note": word(pick(detail, "ext_info", "customer_notes")),
            "seller_note": word(pick(detail, "ext_info", "merchant_notes")),
            "is_gift": True if data.get("is_present") in (1, True, "1") else None,
            "lines": _lines(detail),
            "coupons": [{"code": coupon}]
            if (coupon := word(pick(detail, "coupon_info", "user_coupon_id"), 64))
            else None,
            "payments": _payments(detail, payable, paid_at),
            "shipments": _parcels(detail) or None,
        }
    )


def _ids(data: Plain, of: str = "") -> Plain:
    """Whose the order is: of a gift the one who gave it and paid, not the one who gets it."""
    return said({f"wx_{kind}": word(data.get(f"{of}{kind}")) for kind in ("unionid", "openid")})


def _lines(detail: Any) -> list[Plain] | None:
    products = dicts(pick(detail, "product_infos"))
    return [_line(one, place) for place, one in enumerate(products)] or None


def _line(one: Plain, place: int) -> Plain:
    own = word(one.get("product_unique_id"))
    return said(
        {
            "line_key": (own or f"{word(one.get('product_id'))}:{word(one.get('sku_id'))}:{place}")[:120],
            "title": word(one.get("title")),
            "spec": " ".join(word(part.get("attr_value")) for part in dicts(one.get("sku_attrs"))),
            "image_url": picture(one.get("thumb_img")),
            "platform_item_id": word(one.get("product_id"), 80),
            "platform_sku_id": word(one.get("sku_id"), 80),
            "merchant_sku": word(one.get("out_sku_id") or one.get("sku_code"), 80),
            "qty": count("sku_cnt", one.get("sku_cnt")),
            "unit_price_fen": fen("sale_price", one.get("sale_price")),
            "paid_fen": fen("real_price", one.get("real_price")),
            "is_gift": True if one.get("is_free_gift") in (1, True) else None,
            "refunded_qty": count("finish_aftersale_sku_cnt", one.get("finish_aftersale_sku_cnt"), 0),
        }
    )


def _payments(detail: Any, payable: int | None, paid_at: datetime | None) -> list[Plain] | None:
    number = word(pick(detail, "pay_info", "transaction_id"), 120)
    if not number or paid_at is None:
        return None
    method = _METHODS.get(word(pick(detail, "pay_info", "payment_method")), "wechat")
    return [{"pay_key": number, "method": method, "amount_fen": payable or 0, "paid_at": paid_at}]


def _parcels(detail: Any) -> list[Plain]:
    parcels = []
    for one in dicts(pick(detail, "delivery_info", "delivery_product_info")):
        number = word(one.get("waybill_id"), 80)
        if number:
            parcel = {
                "tracking_no": number,
                "carrier_code": word(one.get("delivery_id"), 40),
                "carrier_name": word(one.get("delivery_name")),
                "shipped_at": epoch("delivery_time", one.get("delivery_time")),
                "source": "wxstore",
            }
            parcels.append(said(parcel))
    return parcels


def _receiver(address: Any) -> Plain | None:
    if not isinstance(address, dict):
        return None
    return {
        "name": word(address.get("user_name")),
        "phone": word(address.get("tel_number")),
        "province": word(address.get("province_name")),
        "city": word(address.get("city_name")),
        "district": word(address.get("county_name")),
        "address": word(address.get("detail_info")),
    }


def _case(data: Any) -> Plain | None:
    number, said_state = word(pick(data, "after_sale_order_id"), 80), word(pick(data, "status"), 80)
    if not number or not said_state:
        return None
    status = _CASES.get(said_state, "unknown")
    at = epoch("update_time", pick(data, "update_time"))
    return said(
        {
            "refund_no": number,
            "status": status,
            "type": _CASE_KIND.get(word(pick(data, "type")), ""),
            "amount_fen": fen("amount", pick(data, "refund_info", "amount")) or 0,
            "reason": word(pick(data, "refund_reason")),
            "created_at": epoch("create_time", pick(data, "create_time")),
            "finished_at": at if status in ("refunded", "cancelled", "rejected", "failed") else None,
            **raw_case(status, said_state),
        }
    )
