"""Own malls and POS: canonical orders signed with HMAC-SHA256 over timestamp, nonce and raw body (docs/sources.md)."""

import hmac
from typing import Any

import msgspec
from pydantic import Field, SecretStr

from scrm.commerce.canonical import Unreadable as NotCanonical
from scrm.commerce.canonical import read_items, read_order
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
from scrm.errors import Invalid

WINDOW_SECONDS = 300
MOST_ORDERS = 200
_NONCE = 64


class Options(SourceOptions):
    """`channel` stands in where an order does not say its own."""

    secret: SecretStr = Field(min_length=8)
    channel: str = Field("mall", pattern=r"^[a-z][a-z0-9_]{0,23}$")


def sign(secret: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Hex HMAC-SHA256 of timestamp, nonce and body, each on a line of its own (docs/sources.md)."""
    return hmac.digest(secret.encode(), f"{timestamp}\n{nonce}\n".encode() + body, "sha256").hex()


class Generic(Hook):
    """X-Scrm-Timestamp (seconds), X-Scrm-Nonce, X-Scrm-Signature."""

    kind = "generic"
    title = "自有商城或门店"
    options_type = Options
    options: Options

    def receive(self, request: Incoming) -> Delivery | Answer:
        timestamp, nonce = request.headers.get("X-Scrm-Timestamp", ""), request.headers.get("X-Scrm-Nonce", "")
        given = request.headers.get("X-Scrm-Signature", "")
        if not (timestamp and nonce and given):
            raise Refused("缺少签名：请求头需要 X-Scrm-Timestamp、X-Scrm-Nonce 和 X-Scrm-Signature")
        expected = sign(self.options.secret.get_secret_value(), timestamp, nonce, request.body)
        if not hmac.compare_digest(expected.encode(), given.lower().encode("utf-8", "replace")):
            raise Refused("签名不对：应为 HMAC-SHA256(密钥, 时间戳 + 换行 + 随机串 + 换行 + 原始请求体) 的十六进制")
        if not (timestamp.isascii() and timestamp.isdecimal()):
            raise Refused("X-Scrm-Timestamp 应为 Unix 时间（秒）")
        if abs(request.now.timestamp() - int(timestamp[:12])) > WINDOW_SECONDS:
            raise Refused("X-Scrm-Timestamp 与服务器时间相差超过 5 分钟，请校准时钟")
        if len(nonce) > _NONCE:
            raise Refused(f"X-Scrm-Nonce 最多 {_NONCE} 个字符")
        key = f"{body_key(request.body)[:16]}" if not nonce else short_key(nonce)
        return Delivery(request.body, key, "orders", _answer(self._judge(request.body)), is_nonce=True)

    def read(self, topic: str, body: bytes) -> Reading:
        orders, wrong = [], []
        for item in self._items(body):
            try:
                read_order(item)
                orders.append(item)
            except Invalid as error:
                wrong.append(f"{_number(item)}：{error.text}")
        if wrong and not orders:
            raise Unreadable("；".join(wrong[:5]))
        return Reading(orders, flaw=f"{len(wrong)} 个订单有误：{'；'.join(wrong[:5])}" if wrong else "")

    def _judge(self, body: bytes) -> list[Plain]:
        """What each item hears at once: whether it will be applied, and if not, why."""
        try:
            items = self._items(body)
        except Unreadable as error:
            return [{"order_no": "", "status": "rejected", "reason": str(error)}]
        return [_judged(item) for item in items]

    def _items(self, body: bytes) -> list[Any]:
        value = read_json(body)
        if isinstance(value, dict):
            value = next((value[name] for name in ("orders", "items") if isinstance(value.get(name), list)), [value])
            body = msgspec.json.encode(value)
        try:
            items = read_items(body)
        except NotCanonical as error:
            raise Unreadable(error.text) from None
        if len(items) > MOST_ORDERS:
            raise Unreadable(f"一次最多 {MOST_ORDERS} 个订单，收到 {len(items)} 个")
        return [self._complete(item) if isinstance(item, dict) else item for item in items]

    def _complete(self, item: Plain) -> Plain:
        """What a sender may leave out: its channel, its shop, the status of an order it knows little of."""
        filled = {"channel": self.options.channel, "shop_key": self.options.shop_key, "status": "unknown", **item}
        if "updated_at" in filled:
            filled.setdefault("platform_updated_at", filled.pop("updated_at"))
        return filled


def _judged(item: Any) -> Plain:
    try:
        read_order(item)
    except Invalid as error:
        return {"order_no": _number(item), "status": "rejected", "reason": error.text}
    return {"order_no": _number(item), "status": "accepted", "reason": ""}


def _number(item: Any) -> str:
    number = item.get("order_no") if isinstance(item, dict) else None
    return number[:80] if isinstance(number, str) else ""


def _answer(results: list[Plain]) -> Answer:
    return Answer(msgspec.json.encode({"status": "accepted", "results": results}).decode())
