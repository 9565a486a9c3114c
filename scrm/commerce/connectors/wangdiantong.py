"""旺店通企业版, an ERP that is asked for trades, outbound notes and after-sale cases (docs/commerce 1.17)."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator

from scrm.commerce.canonical import allocate, read_order
from scrm.commerce.connectors.hook import Plain, SourceOptions, Unreadable
from scrm.commerce.connectors.pull import (
    Caller,
    Page,
    Part,
    Pull,
    PullFailed,
    PullRefused,
    Standing,
    Stream,
    Window,
    check_pace,
    check_shops,
    find_shop,
)
from scrm.commerce.connectors.values import count, dicts, moment, raw_case, said, word, yuan

_PATHS = {
    "trades": ("trade_query.php", "trades"),
    "shipments": ("stockout_order_query_trade.php", "stockout_list"),
    "refunds": ("refund_query.php", "refunds"),
}
_PLATFORMS = {"1": "taobao", "3": "jd"}
_WAITING = frozenset((10, 12, 15))
_FINISHED = frozenset((100, 105, 110))
# The ERP's own state of a case; what the platform says (`status`) goes before it.
_REFUND_PLATFORM = {
    "1": "cancelled",
    "2": "requested",
    "3": "waiting_return",
    "4": "returned_in_transit",
    "5": "refunded",
}
_REFUND_PROCESS = {"10": "cancelled", "20": "requested", "30": "agreed", "40": "rejected", "60": "waiting_return"}
_REFUND_TYPES = {"1": "refund_only_unshipped", "2": "return_refund", "3": "exchange", "4": "refund_only_shipped"}
_PAGE = 100
_MOST_PAGES = 10_000


class Options(SourceOptions):
    """[sources.<key>] with kind = "wangdiantong"; `shops` maps its shop_no to "channel/shop_key"."""

    kind: Literal["wangdiantong"]
    sid: str = Field(min_length=1)
    app_key: str = Field(min_length=1)
    app_secret: SecretStr = Field(min_length=1)
    api_base: str = Field("https://api.wangdian.cn/openapi2", pattern=r"^https?://[^/\s]+")
    # How long a value is, for the signature: the documents say characters, some of their own SDKs count bytes.
    sign_length: Literal["characters", "bytes"] = "characters"
    shops: dict[str, str] = Field(default_factory=dict)
    since_days: int = Field(7, ge=0, le=90)

    _shops = field_validator("shops")(staticmethod(check_shops))


def sign(secret: str, fields: Mapping[str, str], *, length: Literal["characters", "bytes"] = "characters") -> str:
    """MD5 of `02-key:0005-value` by name, joined by ;, and the secret; 32 lower-case hex characters."""

    def size(value: str) -> int:
        return len(value.encode()) if length == "bytes" else len(value)

    told = (f"{len(name):02d}-{name}:{size(fields[name]):04d}-{fields[name]}" for name in sorted(fields))
    text = ";".join(part for part in told if not part.startswith("04-sign:")) + secret
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Wangdiantong(Pull):
    """Windows of an hour at most, read from the last page to the first: what moves away never hides what follows."""

    kind = "wangdiantong"
    title = "旺店通"
    options_type = Options
    streams = (
        Stream("trades", "订单", timedelta(minutes=5), timedelta(minutes=60)),
        Stream("shipments", "物流", timedelta(minutes=10), timedelta(minutes=60)),
        Stream("refunds", "售后", timedelta(minutes=15), timedelta(minutes=60)),
    )
    limits = ((60, 60.0),)
    by_number = 1

    # -- asking

    async def pages(self, caller: Caller, stream: str, window: Window) -> AsyncIterator[Page]:
        first, total = await self._ask(caller, stream, window, 0)
        last = max(0, (total - 1) // _PAGE)
        if last > _MOST_PAGES or (not total and len(first) >= _PAGE):
            raise PullFailed(f"旺店通说一个小时里有 {total} 条记录，与内容不符，请联系旺店通核对接口，稍后自动重试")
        for number in range(last, 0, -1):
            records, _ = await self._ask(caller, stream, window, number)
            yield Page(records)
        if last:
            # It was read before the others only to learn how many there are, and may have moved since.
            first, _ = await self._ask(caller, stream, window, 0)
        yield Page(first)

    async def named(self, caller: Caller, order_nos: Sequence[str]) -> list[Plain]:
        records, _ = await self._post(caller, "trades", {"src_tid": order_nos[0]})
        return records

    async def _ask(self, caller: Caller, stream: str, window: Window, number: int) -> tuple[list[Plain], int]:
        asked = {
            "start_time": _told(window.begins_at),
            "end_time": _told(window.ends_at),
            "page_no": str(number),
            "page_size": str(_PAGE),
        }
        return await self._post(caller, stream, asked)

    async def _post(self, caller: Caller, stream: str, asked: Mapping[str, str]) -> tuple[list[Plain], int]:
        path, name = _PATHS[stream]

        def signed() -> dict[str, str]:
            fields = {
                "sid": self.options.sid,
                "appkey": self.options.app_key,
                "timestamp": str(int(caller.now().timestamp())),
                **asked,
            }
            secret = self.options.app_secret.get_secret_value()
            return fields | {"sign": sign(secret, fields, length=self.options.sign_length)}

        answer = await caller.post_form(f"{self.options.api_base.rstrip('/')}/{path}", signed, _check_pace)
        if not isinstance(answer, dict):
            raise PullFailed("旺店通的回答不是一个 JSON 对象，稍后自动重试")
        if text := _trouble(answer):
            if any(words in text for words in ("签名", "sign", "appkey", "权限", "sid")):
                raise PullRefused(f"{text}。请核对 sid、app_key、app_secret 与接口权限")
            raise PullFailed(f"{text}，稍后自动重试")
        return dicts(answer.get(name)), count("total_count", answer.get("total_count"), 0)

    # -- reading

    def name(self, stream: str, record: Plain) -> str:
        names = {"trades": "trade_no", "shipments": "order_no", "refunds": "refund_no"}
        return word(record.get(names[stream]))

    def read(self, stream: str, record: Plain, zone: ZoneInfo) -> list[Part]:
        if stream == "trades":
            return self._read_trade(record)
        return self._read_parcel(record) if stream == "shipments" else self._read_refund(record)

    def _natural_key(self, record: Plain, order_no: str) -> Plain:
        channel = _PLATFORMS.get(word(record.get("platform_id")), "wdt")
        channel, shop_key = find_shop(self.options.shops, word(record.get("shop_no")), channel)
        if not order_no:
            raise Unreadable("src_tids：没有原始单号，对不上店铺的订单")
        return {"channel": channel, "shop_key": shop_key, "order_no": order_no}

    def _read_trade(self, record: Plain) -> list[Part]:
        trade_no, numbers = word(record.get("trade_no")), _numbers(record.get("src_tids"))
        goods = dicts(record.get("goods_list"))
        by_order: dict[str, list[Plain]] = {number: [] for number in numbers}
        for one in goods:
            by_order.setdefault(word(one.get("src_tid")) or next(iter(numbers), ""), []).append(one)
        weights = [sum(_share(one) for one in of_order) for of_order in by_order.values()]
        money = _money(record, weights)
        status, standing = _status(record)
        parts = []
        for (number, of_order), amounts in zip(by_order.items(), money, strict=True):
            plain = {
                **self._natural_key(record, number),
                **amounts,
                **_common(record, status),
                "lines": [_line(trade_no, one) for one in of_order],
                "shipments": _parcels(record, trade_no, of_order) if standing == "live" else None,
            }
            if len(by_order) == 1:
                plain |= {"buyer_ref": said({"nick": word(record.get("buyer_nick"))}), "receiver": _receiver(record)}
            parts.append(Part(read_order(said(plain)), trade_no, standing))
        return parts

    def _read_parcel(self, record: Plain) -> list[Part]:
        tracking_no = word(record.get("logistics_no"))
        if not tracking_no:
            raise Unreadable("logistics_no：没有快递单号")
        parcel = said(
            {
                "tracking_no": tracking_no,
                "carrier_code": word(record.get("logistics_code"), 40),
                "carrier_name": word(record.get("logistics_name")),
                "shipped_at": moment("consign_time", record.get("consign_time")),
                "source": self.kind,
            }
        )
        parts = []
        for number in _numbers(record.get("src_trade_no") or record.get("src_tids")):
            plain = {**self._natural_key(record, number), "status": "unknown", "shipments": [parcel]}
            parts.append(Part(read_order(plain)))
        if not parts:
            raise Unreadable("src_trade_no：没有原始单号，对不上店铺的订单")
        return parts

    def _read_refund(self, record: Plain) -> list[Part]:
        at_platform, in_erp = word(record.get("status")), word(record.get("process_status"))
        status = _REFUND_PLATFORM.get(at_platform) or _REFUND_PROCESS.get(in_erp)
        if in_erp in ("80", "90") and status not in ("cancelled", "rejected"):
            status = "refunded"
        if status is None and not in_erp:
            raise Unreadable("process_status：没有售后状态")
        status = status or "unknown"
        ended = status in ("refunded", "rejected", "cancelled")
        amount = yuan("refund_amount", record.get("actual_refund_amount") or record.get("refund_amount"))
        case = said(
            {
                "refund_no": word(record.get("src_refund_no")) or word(record.get("refund_no")),
                "status": status,
                "type": _REFUND_TYPES.get(word(record.get("type")), ""),
                "amount_fen": abs(amount) if amount is not None else None,
                "reason": word(record.get("reason_name")),
                "created_at": moment("refund_time", record.get("refund_time") or record.get("created")),
                "finished_at": moment("modified", record.get("modified")) if ended else None,
                **raw_case(status, in_erp),
            }
        )
        numbers = _numbers(record.get("tid") or record.get("src_no"))
        plain = {**self._natural_key(record, next(iter(numbers), "")), "status": "unknown", "refunds": [case]}
        return [Part(read_order(plain))]


def _trouble(answer: Plain) -> str:
    """What an answer complains of; '' when all is well."""
    code = word(answer.get("code"))
    return f"旺店通回答 {code}：{word(answer.get('message'), 200)}" if code not in ("", "0") else ""


def _check_pace(answer: object) -> None:
    if isinstance(answer, dict):
        check_pace(_trouble(answer))


def _told(at: datetime) -> str:
    return at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M:%S")


def _numbers(value: object) -> list[str]:
    return [number.strip() for number in word(value).replace("，", ",").split(",") if number.strip()]


def _status(record: Plain) -> tuple[str, Standing]:
    told = word(record.get("trade_status"))
    code = int(told) if told.isdecimal() and len(told) <= 9 else -1
    was_paid = bool(moment("pay_time", record.get("pay_time")))
    if code == 5:
        return ("closed" if was_paid and word(record.get("refund_status")) == "3" else "cancelled"), "cancelled"
    if code in _WAITING:
        return "pending_payment", "live"
    if 16 <= code <= 55 or code == 113:
        return "paid", "live"
    if code == 95:
        return "shipped", "live"
    return ("completed" if code in _FINISHED else "unknown"), "live"


def _common(record: Plain, status: str) -> Plain:
    modified = moment("modified", record.get("modified"))
    return {
        "status": status,
        "raw_status": word(record.get("trade_status")),
        "ordered_at": moment("trade_time", record.get("trade_time")),
        "paid_at": moment("pay_time", record.get("pay_time")),
        "shipped_at": moment("consign_time", record.get("consign_time")),
        "completed_at": modified if status == "completed" else None,
        "closed_at": modified if status in ("closed", "cancelled") else None,
        "platform_updated_at": modified,
        # Seconds of the last change: the only thing that a trade counts.
        "version": int(modified.timestamp()) if modified is not None else None,
        "buyer_note": word(record.get("buyer_message")),
        "seller_note": word(record.get("cs_remark")),
    }


def _money(record: Plain, weights: list[int]) -> list[Plain]:
    """The trade's money, shared among the shop's orders that it was joined from."""
    shares: list[Plain] = [{"goods_fen": weight} for weight in weights]
    names = (("freight_fen", "post_amount"), ("discount_fen", "discount"), ("payable_fen", "receivable"))
    for field, name in (*names, ("paid_fen", "paid")):
        amount = yuan(name, record.get(name))
        if amount is not None:
            for share, part in zip(shares, allocate(max(0, amount), weights), strict=True):
                share[field] = part
    return shares


def _share(one: Plain) -> int:
    return max(0, yuan("share_amount", one.get("share_amount")) or 0)


def _line_key(trade_no: str, one: Plain) -> str:
    return f"{trade_no}:{word(one.get('src_oid')) or word(one.get('rec_id')) or word(one.get('spec_no'))}"


def _line(trade_no: str, one: Plain) -> Plain:
    is_gift = word(one.get("gift_type")) not in ("", "0")
    return said(
        {
            "line_key": _line_key(trade_no, one),
            "platform_item_id": word(one.get("api_goods_id"), 80),
            "platform_sku_id": word(one.get("api_spec_id"), 80),
            "merchant_sku": word(one.get("spec_no"), 80),
            "title": word(one.get("goods_name")),
            "spec": word(one.get("spec_name")),
            "qty": max(0, count("num", one.get("actual_num") or one.get("num"))),
            "unit_price_fen": yuan("price", one.get("price")),
            "paid_fen": 0 if is_gift else yuan("share_amount", one.get("share_amount")),
            "is_gift": is_gift,
        }
    )


def _parcels(record: Plain, trade_no: str, goods: list[Plain]) -> list[Plain] | None:
    tracking_no = word(record.get("logistics_no"))
    if not tracking_no:
        return None
    parcel = {
        "tracking_no": tracking_no,
        "carrier_code": word(record.get("logistics_code"), 40),
        "carrier_name": word(record.get("logistics_name")),
        "shipped_at": moment("consign_time", record.get("consign_time")),
        "line_keys": [_line_key(trade_no, one) for one in goods],
        "source": "wangdiantong",
    }
    return [said(parcel)]


def _receiver(record: Plain) -> Plain | None:
    receiver = {
        "name": word(record.get("receiver_name")),
        "phone": word(record.get("receiver_mobile")),
        "province": word(record.get("receiver_province_name")),
        "city": word(record.get("receiver_city_name")),
        "district": word(record.get("receiver_district_name")),
        "address": word(record.get("receiver_address")),
    }
    return receiver if any(receiver.values()) else None
