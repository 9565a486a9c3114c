"""The canonical order that every channel is translated into, and its reading from JSON."""

import re
from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from scrm.clock import is_plausible
from scrm.errors import Invalid, ScrmError

MOST_ORDERS = 1000

Fen = Annotated[int, Meta(ge=0, le=10**13)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
Moment = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=80)]
Version = Annotated[int, Meta(ge=0, le=2**63 - 1)]

OrderStatus = Literal[
    "pending_payment", "paid", "partially_shipped", "shipped", "completed", "cancelled", "closed", "unknown"
]
RefundStatus = Literal[
    "requested",
    "agreed",
    "waiting_return",
    "returned_in_transit",
    "refunding",
    "refunded",
    "rejected",
    "cancelled",
    "failed",
    "unknown",
]


class Line(Struct, kw_only=True, omit_defaults=True):
    """One kind of goods in an order; money in fen, for all pieces unless it is the unit price."""

    line_key: Annotated[str, Meta(max_length=120)] = ""
    title: str = ""
    spec: str = ""
    platform_item_id: Annotated[str, Meta(max_length=80)] = ""
    platform_sku_id: Annotated[str, Meta(max_length=80)] = ""
    merchant_sku: Annotated[str, Meta(max_length=80)] = ""
    qty: Count = 1
    unit_price_fen: Fen | None = None
    discount_fen: Fen | None = None
    # None: this line's share of the order's paid_fen is worked out.
    paid_fen: Fen | None = None
    is_gift: bool = False
    refunded_qty: Count = 0
    refunded_fen: Fen = 0
    line_status: Annotated[str, Meta(max_length=40)] = ""
    # Shown beside the order, never fetched by us.
    image_url: Annotated[str, Meta(pattern=r"^(https?://\S{1,490})?$")] = ""


class Payment(Struct, kw_only=True, omit_defaults=True):
    """One payment: the whole, a deposit or a balance."""

    pay_key: Annotated[str, Meta(min_length=1, max_length=120)] = "main"
    method: Annotated[str, Meta(max_length=24)] = "unknown"
    amount_fen: Fen = 0
    paid_at: Moment | None = None
    phase: Literal["full", "deposit", "balance"] = "full"


class Shipment(Struct, kw_only=True, omit_defaults=True):
    """One parcel."""

    tracking_no: Name
    carrier_code: Annotated[str, Meta(max_length=40)] = ""
    carrier_name: str = ""
    shipped_at: Moment | None = None
    delivered_at: Moment | None = None
    line_keys: list[str] = []
    source: Annotated[str, Meta(max_length=24)] = ""
    state: Literal["", "shipped", "in_transit", "out_for_delivery", "delivered", "returned", "exception"] = ""
    state_at: Moment | None = None


class Refund(Struct, kw_only=True, omit_defaults=True):
    """One after-sale case."""

    refund_no: Name
    status: RefundStatus
    type: Annotated[str, Meta(max_length=32)] = ""
    amount_fen: Fen = 0
    reason: str = ""
    # The channel's own word, where the status is unknown.
    raw_status: str = ""
    created_at: Moment | None = None
    finished_at: Moment | None = None


class CouponUse(Struct, kw_only=True, omit_defaults=True):
    """A coupon that the order used, with what it took off."""

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    discount_fen: Fen = 0


class Receiver(Struct, kw_only=True, omit_defaults=True):
    """Where it goes, in clear or masked as the channel gives it."""

    name: str = ""
    phone: str = ""
    province: str = ""
    city: str = ""
    district: str = ""
    address: str = ""


class Order(Struct, kw_only=True, omit_defaults=True):
    """One buyer's order; what is left out is unknown and never overwrites what is known."""

    channel: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,23}$")]
    order_no: Name
    status: OrderStatus
    shop_key: Annotated[str, Meta(max_length=80)] = ""
    parent_order_no: Annotated[str, Meta(max_length=80)] = ""
    payment_status: Literal["", "unpaid", "partially_paid", "paid", "partially_refunded", "refunded"] = ""
    fulfillment_status: Literal["", "none", "partial", "shipped", "delivered", "not_needed"] = ""
    aftersale_status: Literal["", "none", "open", "partially_refunded", "refunded"] = ""
    raw_status: str = ""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "CNY"
    goods_fen: Fen | None = None
    freight_fen: Fen | None = None
    discount_fen: Fen | None = None
    platform_discount_fen: Fen | None = None
    payable_fen: Fen | None = None
    # What the buyer really paid; subsidies are platform_discount_fen.
    paid_fen: Fen | None = None
    refunded_fen: Fen | None = None
    merchant_income_fen: Fen | None = None
    ordered_at: Moment | None = None
    paid_at: Moment | None = None
    shipped_at: Moment | None = None
    delivered_at: Moment | None = None
    completed_at: Moment | None = None
    closed_at: Moment | None = None
    platform_updated_at: Moment | None = None
    # wx_unionid, wecom_external_userid, mobile_e164, nick, and each platform's own ids (docs/import.md).
    buyer_ref: dict[str, str] = {}
    receiver: Receiver | None = None
    receiver_mask: str = ""
    buyer_note: str = ""
    seller_note: str = ""
    is_gift: bool = False
    is_test: bool = False
    version: Version | None = None
    version_kind: str | None = None
    version_value: Version | str | None = None
    version_source: str | None = None
    # None: nothing was said about them; an empty list says the same.
    lines: list[Line] | None = None
    payments: list[Payment] | None = None
    shipments: list[Shipment] | None = None
    refunds: list[Refund] | None = None
    coupons: list[CouponUse] | None = None


# Fields of the model that are understood but not kept yet.
_NOT_KEPT = frozenset(
    {
        "virtual_phone",
        "region_code",
        "province",
        "city",
        "district",
        "flag_color",
        "staff_ref",
        "traffic_source",
        "is_presale",
        "on_hold",
        "first_seen_route",
        "last_seen_route",
    }
)
# Cut to what a column takes (snapshot.py), or sealed: nothing is found by them.
_FREE_TEXT = frozenset(
    ("title", "spec", "raw_status", "buyer_note", "seller_note", "receiver", "receiver_mask", "carrier_name", "reason")
)
_MOMENTS = tuple(name for name in Order.__struct_fields__ if name.endswith("_at"))
_moments_of = attrgetter(*_MOMENTS)
_PART_MOMENTS = (
    ("payments", ("paid_at",)),
    ("shipments", ("shipped_at", "delivered_at", "state_at")),
    ("refunds", ("created_at", "finished_at")),
)
_FIELDS = frozenset(Order.__struct_fields__) | _NOT_KEPT
_LINE_FIELDS = frozenset(Line.__struct_fields__)


class Unreadable(ScrmError):
    """The body is no list of orders."""

    code = "unreadable"


def read_items(body: bytes) -> list[Any]:
    """The list in a request's body; raises Unreadable when it is no JSON list of at most 1,000 items."""
    try:
        items = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"请求体不是合法的 JSON：{error}。请用 UTF-8 编码发送订单列表") from None
    except RecursionError:
        raise Unreadable("请求体的嵌套太深，应为订单列表 [...]") from None
    if not isinstance(items, list):
        raise Unreadable(f"请求体应为订单列表 [...]，收到{_kind(items)}")
    if len(items) > MOST_ORDERS:
        raise Unreadable(f"一次最多 {MOST_ORDERS} 个订单，收到 {len(items)} 个，请分批发送")
    return items


def read_order(item: Any) -> Order:
    """One order from plain JSON values; raises Invalid with one line that names field, expectation and finding."""
    try:
        order = msgspec.convert(item, Order)
    except msgspec.ValidationError as error:
        raise Invalid(_explain(str(error), item)) from None
    if found := find_nul(order):
        raise Invalid(f"{found[0]}：不能含有空字符 \\u0000，收到 {msgspec.json.encode(found[1]).decode()[:60]}")
    if wrong := find_implausible(order):
        raise Invalid(f"{wrong[0]}：时间应在 2000 年到 2099 年之间，收到 {wrong[1].isoformat()}")
    return order


def find_implausible(order: Order) -> tuple[str, datetime] | None:
    """The first time that no order can have, with its path; None when all are from 2000 to 2099."""
    for name, moment in zip(_MOMENTS, _moments_of(order), strict=True):
        if moment is not None and not is_plausible(moment):
            return name, moment
    for part, names in _PART_MOMENTS:
        for index, one in enumerate(getattr(order, part) or ()):
            for name in names:
                moment = getattr(one, name)
                if moment is not None and not is_plausible(moment):
                    return f"{part}[{index}].{name}", moment
    return None


def find_nul(order: Order) -> tuple[str, str] | None:
    """The first text with a NUL, with its path: PostgreSQL keeps none. From free text it is left out later."""
    if rb"\u0000" not in msgspec.json.encode(order):
        return None
    return next(_texts_with_nul(msgspec.to_builtins(order), ""), None)


def _texts_with_nul(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and "\0" in value:
        yield path, value
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts_with_nul(one, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, one in value.items():
            if "\0" in name:
                yield path, name
            elif path == "buyer_ref" or name not in _FREE_TEXT:
                yield from _texts_with_nul(one, f"{path}.{name}" if path else name)


def unknown_fields(item: Any) -> list[str]:
    """Names that the model does not know; they are ignored, and the sender should hear it."""
    if not isinstance(item, dict):
        return []
    unknown = [name for name in item if name not in _FIELDS]
    lines = item.get("lines")
    for index, line in enumerate(lines if isinstance(lines, list) else []):
        unknown += [f"lines[{index}].{name}" for name in line if name not in _LINE_FIELDS]
    return unknown


def allocate(total: int, weights: list[int]) -> list[int]:
    """Share `total` fen by weight: floored, the remainder to the greatest weight; the sum is exact."""
    whole = sum(weights)
    if not weights:
        return []
    if whole == 0:
        return [total] + [0] * (len(weights) - 1)
    shares = [total * weight // whole for weight in weights]
    shares[weights.index(max(weights))] += total - sum(shares)
    return shares


_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"missing required field `(?P<a>\w+)`"), "缺少必填字段 {a}"),
    (re.compile(r"Expected `datetime` with a timezone component"), "时间须带时区，如 2026-06-18T20:00:00+08:00"),
    (re.compile(r"Invalid RFC3339 encoded datetime"), "应为 ISO 8601 时间，如 2026-06-18T20:00:00+08:00"),
    (re.compile(r"Expected `str`, got `(?:int|float)`"), "应为文本，请加引号（长号码按数字传会失真）"),
    (re.compile(r"Expected `str` matching regex '\^\[a-z\]"), "应为小写英文渠道代码，如 taobao、youzan、pos"),
    (re.compile(r"Expected `str` matching regex '\^\(https"), "应为 http:// 或 https:// 开头的图片地址，最长 490 字"),
    (re.compile(r"Expected `str` matching regex"), "应为三个大写字母的币种，如 CNY"),
    (re.compile(r"Expected `str` of length >= 1"), "不能为空"),
    (re.compile(r"Expected `str` of length <= (?P<a>\d+)"), "最多 {a} 个字符"),
    (re.compile(r"Expected `int(?: \| null)?` >= (?P<a>\d+)"), "不能小于 {a}"),
    (re.compile(r"Expected `int(?: \| null)?` <= (?P<a>\d+)"), "不能大于 {a}"),
    (re.compile(r"Expected `int(?: \| null)?`, got `(?:float|str)`"), "应为整数（金额以分为单位）"),
    (re.compile(r"Invalid enum value"), "不是认识的取值，应为 {choices}"),
    (re.compile(r"Expected `(?P<a>[\w |]+)`, got `\w+`"), "应为 {a}"),
)
_WORDS = {
    "object": "对象",
    "array": "列表",
    "int": "整数",
    "str": "文本",
    "bool": "布尔值",
    "null": "null",
    "datetime": "时间",
}
_CHOICES = {
    "status": OrderStatus,
    "payment_status": Order.__annotations__["payment_status"],
    "fulfillment_status": Order.__annotations__["fulfillment_status"],
    "aftersale_status": Order.__annotations__["aftersale_status"],
    "refunds.status": RefundStatus,
    "shipments.state": Shipment.__annotations__["state"],
    "payments.phase": Payment.__annotations__["phase"],
}


def _explain(error: str, item: Any) -> str:
    """msgspec's sentence in the reader's language, with what was found."""
    at = _AT.search(error)
    path = at["path"] if at else ""
    for pattern, words in _PATTERNS:
        if match := pattern.search(error):
            expected = words.format(choices=_choices(path), **{k: _words(v) for k, v in match.groupdict().items()})
            break
    else:
        expected = f"读不懂（{error}）"
    if "缺少" in expected:
        return f"{path}：{expected}" if path else expected
    return f"{path or '订单'}：{expected}，收到 {_found(item, path)}"


def _words(text: str) -> str:
    return "或".join(_WORDS.get(part.strip(), part.strip()) for part in text.split("|"))


def _choices(path: str) -> str:
    literal = _CHOICES.get(re.sub(r"\[[^\]]*\]", "", path))
    return "、".join(value for value in literal.__args__ if value) if literal is not None else ""


def _found(item: Any, path: str) -> str:
    value = item
    for name, index in re.findall(r"(\w+)|\[(\d+|\.\.\.)\]", path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return "别的内容"
    return _kind(value) if isinstance(value, dict | list) else msgspec.json.encode(value).decode()[:60]


def _kind(value: Any) -> str:
    names = {dict: "一个对象", list: "一个列表", str: "一段文本", bool: "true/false", type(None): "null"}
    return names.get(type(value), "一个数字")
