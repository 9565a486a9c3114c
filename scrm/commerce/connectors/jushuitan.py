"""聚水潭, an ERP that is asked for orders, parcels and after-sale cases (docs/commerce 1.16)."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
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
    Tokens,
    Window,
    check_pace,
    check_shops,
    find_shop,
)
from scrm.commerce.connectors.values import count, dicts, moment, pick, picture, raw_case, said, word, yuan

# What the ERP calls the platform of a shop.
_SITES = {
    "淘宝": "taobao",
    "天猫": "tmall",
    "京东": "jd",
    "拼多多": "pdd",
    "抖音": "doudian",
    "头条": "doudian",
    "抖店": "doudian",
    "放心购": "doudian",
    "快手": "kuaishou",
    "小红书": "xhs",
    "有赞": "youzan",
    "微信": "wxstore",
    "视频号": "wxstore",
    "Shopify": "shopify",
}
_STATUSES = {
    "WaitPay": "pending_payment",
    "WaitConfirm": "paid",
    "WaitFConfirm": "paid",
    "Delivering": "paid",
    "WaitOuterSent": "paid",
    "Question": "paid",
    "Sent": "shipped",
}
_NOT_COUNTED = frozenset(("Replaced", "Cancelled", "Merged"))
_REFUND_SHOP_STATUSES = {
    "WAIT_SELLER_AGREE": "requested",
    "WAIT_BUYER_RETURN_GOODS": "waiting_return",
    "WAIT_SELLER_CONFIRM_GOODS": "returned_in_transit",
    "SELLER_REFUSE_BUYER": "rejected",
    "CLOSED": "cancelled",
    "SUCCESS": "refunded",
}
_REFUND_STATUSES = {"WaitConfirm": "requested", "Confirmed": "agreed", "Cancelled": "cancelled", "Merged": "cancelled"}
_REFUND_TYPES = {
    "仅退款": "refund_only_shipped",
    "普通退货": "return_refund",
    "拒收退货": "return_refund",
    "换货": "exchange",
    "补发": "reissue",
    "维修": "repair",
}
_PATHS = {
    "orders": "/open/orders/single/query",
    "shipments": "/open/logistic/query",
    "refunds": "/open/refund/single/query",
}
_REFRESH = "/openWeb/auth/refreshToken"
_TOKEN_WRONG = 100
_REFUSED = frozenset((10, 130, 140, 170, 190, 10015))
_PAGE = 50
_AHEAD = timedelta(days=2)


class Options(SourceOptions):
    """[sources.<key>] with kind = "jushuitan"; `shops` maps its shop_id to "channel/shop_key"."""

    kind: Literal["jushuitan"]
    app_key: str = Field(min_length=1)
    app_secret: SecretStr = Field(min_length=1)
    access_token: SecretStr = Field(min_length=1)
    refresh_token: SecretStr = SecretStr("")
    api_base: str = Field("https://openapi.jushuitan.com", pattern=r"^https?://[^/\s]+$")
    shops: dict[str, str] = Field(default_factory=dict)
    since_days: int = Field(30, ge=0, le=365)

    _shops = field_validator("shops")(staticmethod(check_shops))


def sign(secret: str, fields: Mapping[str, str]) -> str:
    """MD5 of the secret and the sorted names with their values, without `sign`; 32 lower-case hex characters."""
    text = secret + "".join(name + fields[name] for name in sorted(fields) if name != "sign")
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Jushuitan(Pull):
    """Orders go on by row version (`start_ts`), which loses nothing while pages move; the rest by windows of a day."""

    kind = "jushuitan"
    title = "聚水潭"
    options_type = Options
    streams = (
        Stream("orders", "订单", timedelta(minutes=5), timedelta(days=1), counts_versions=True),
        Stream("shipments", "物流", timedelta(minutes=10), timedelta(days=1)),
        Stream("refunds", "售后", timedelta(minutes=15), timedelta(days=1)),
    )
    limits = ((5, 1.0), (100, 60.0))
    by_number = 20

    def tokens(self) -> Tokens:
        return Tokens(self.options.access_token.get_secret_value(), self.options.refresh_token.get_secret_value())

    # -- asking

    async def pages(self, caller: Caller, stream: str, window: Window) -> AsyncIterator[Page]:
        number = 1
        while True:
            biz = {
                "modified_begin": _told(window.begins_at),
                "modified_end": _told(window.ends_at),
                "page_index": number,
                "page_size": _PAGE,
            }
            answer = await self._ask(caller, _PATHS[stream], biz)
            records = _records(answer)
            yield Page(records, _number(answer.get("data_count")))
            if not _goes_on(answer, records):
                return
            number += 1

    async def newer(self, caller: Caller, stream: str, version: int) -> AsyncIterator[Page]:
        while True:
            biz = {"start_ts": version, "is_get_total": False, "page_index": 1, "page_size": _PAGE}
            answer = await self._ask(caller, _PATHS[stream], biz)
            records = _records(answer)
            yield Page(records)
            reached = max(map(self.version, records), default=version)
            if not _goes_on(answer, records):
                return
            if reached <= version:
                raise PullFailed("聚水潭没有按 start_ts 给出更新的订单，请联系聚水潭核对接口版本")
            version = reached

    async def named(self, caller: Caller, order_nos: Sequence[str]) -> list[Plain]:
        biz = {"so_ids": list(order_nos), "page_index": 1, "page_size": _PAGE}
        return _records(await self._ask(caller, _PATHS["orders"], biz))

    async def _ask(self, caller: Caller, path: str, biz: Plain) -> Plain:
        expires_at = caller.tokens.expires_at
        if caller.tokens.refresh and expires_at is not None and expires_at < caller.now() + _AHEAD:
            await self._refresh(caller)
        answer = await self._post(caller, path, biz)
        for _ in range(2):  # what another process renewed may have ended, too
            if _code(answer) == _TOKEN_WRONG and caller.tokens.refresh:
                await self._refresh(caller)
                answer = await self._post(caller, path, biz)
        _check(answer)
        data = answer.get("data")
        return data if isinstance(data, dict) else answer

    async def _post(self, caller: Caller, path: str, biz: Plain) -> Plain:
        text = json.dumps(biz, ensure_ascii=False, separators=(",", ":"))
        return await self._send(caller, path, {"access_token": caller.tokens.access, "version": "2", "biz": text})

    async def _send(self, caller: Caller, path: str, fields: Mapping[str, str]) -> Plain:
        def signed() -> dict[str, str]:
            told = {
                "app_key": self.options.app_key,
                "timestamp": str(int(caller.now().timestamp())),
                "charset": "utf-8",
                **fields,
            }
            return told | {"sign": sign(self.options.app_secret.get_secret_value(), told)}

        answer = await caller.post_form(self.options.api_base + path, signed, _check_pace)
        if not isinstance(answer, dict):
            raise PullFailed("聚水潭的回答不是一个 JSON 对象，稍后自动重试")
        return answer

    async def _refresh(self, caller: Caller) -> None:
        """Doc: refreshToken gives a new pair; how long it lives is what the answer says."""
        if await caller.has_newer_tokens():
            return
        fields = {"grant_type": "refresh_token", "refresh_token": caller.tokens.refresh, "scope": "all"}
        answer = await self._send(caller, _REFRESH, fields)
        access = word(pick(answer, "data", "access_token"))
        if not access:
            raise PullRefused("聚水潭没有换发新的 access_token，请在聚水潭开放平台重新授权，并更新设置里的两个 token")
        seconds = min(_number(pick(answer, "data", "expires_in")) or 0, 10**9)
        await caller.renew(
            Tokens(
                access,
                word(pick(answer, "data", "refresh_token")) or caller.tokens.refresh,
                # What lives for less is renewed when it has ended, not before every question.
                caller.now() + life if (life := timedelta(seconds=seconds)) > 2 * _AHEAD else None,
            )
        )

    # -- reading

    def version(self, record: Plain) -> int:
        return _number(record.get("ts")) or 0

    def name(self, stream: str, record: Plain) -> str:
        names = {"orders": "o_id", "shipments": "l_id", "refunds": "as_id"}
        return word(record.get(names[stream])) or word(record.get("so_id"))

    def read(self, stream: str, record: Plain, zone: ZoneInfo) -> list[Part]:
        if stream == "orders":
            return self._read_order(record)
        return self._read_parcel(record) if stream == "shipments" else self._read_refund(record)

    def _natural_key(self, record: Plain, order_no: str) -> Plain:
        site = word(record.get("shop_site"))
        channel = next((key for words, key in _SITES.items() if words in site), "jst")
        channel, shop_key = find_shop(self.options.shops, word(record.get("shop_id")), channel)
        if not order_no:
            raise Unreadable("so_id：没有线上订单号，对不上店铺的订单")
        return {"channel": channel, "shop_key": shop_key, "order_no": order_no}

    def _read_order(self, record: Plain) -> list[Part]:
        o_id, so_id = word(record.get("o_id")), word(record.get("so_id"))
        items = [item for item in dicts(record.get("items")) if word(item.get("item_status")) not in _NOT_COUNTED]
        by_order: dict[str, list[Plain]] = {so_id: []}
        for item in items:
            # Joined orders keep whose each item was.
            by_order.setdefault(word(item.get("raw_so_id")) or so_id, []).append(item)
        if len(by_order) > 1 and not by_order[so_id]:
            del by_order[so_id]
        numbers = list(by_order)
        weights = [sum(_amount(item) for item in by_order[number]) for number in numbers]
        money = _money(record, weights)
        status, standing = _status(record)
        parts = []
        for number, amounts in zip(numbers, money, strict=True):
            plain = {
                **self._natural_key(record, number),
                **amounts,
                **_common(record, status),
                "lines": [_line(o_id, item) for item in by_order[number]],
                "shipments": _parcels(record, o_id, by_order[number]) if standing == "live" else None,
            }
            if len(numbers) == 1:
                plain["payments"] = _payments(record)
            if number == so_id:
                plain |= _buyer(record)
            parts.append(Part(read_order(said(plain)), o_id, standing))
        return parts

    def _read_parcel(self, record: Plain) -> list[Part]:
        number = word(record.get("l_id"))
        if not number:
            raise Unreadable("l_id：没有快递单号")
        o_id = word(record.get("o_id"))
        keys = [_line_key(o_id, item) for item in dicts(record.get("items"))]
        sent_at = moment("send_date", record.get("send_date"))
        parcel = said(
            {
                "tracking_no": number,
                "carrier_code": word(record.get("lc_id"), 40),
                "carrier_name": word(record.get("logistics_company")),
                "shipped_at": sent_at,
                "line_keys": keys,
                "source": self.kind,
            }
        )
        plain = {**self._natural_key(record, word(record.get("so_id"))), "status": "unknown", "shipments": [parcel]}
        return [Part(read_order(plain))]

    def _read_refund(self, record: Plain) -> list[Part]:
        status = _REFUND_SHOP_STATUSES.get(word(record.get("shop_status"))) or _REFUND_STATUSES.get(
            word(record.get("status"))
        )
        said_state = word(record.get("shop_status"), 80) or word(record.get("status"), 80)
        if not said_state:
            raise Unreadable("status：没有售后状态")
        status = status or "unknown"
        ended = status in ("refunded", "rejected", "cancelled")
        amount = yuan("refund", record.get("refund"))
        case = said(
            {
                "refund_no": word(record.get("outer_as_id")) or word(record.get("as_id")),
                "status": status,
                "type": _REFUND_TYPES.get(word(record.get("type")), word(record.get("type"), 32)),
                "amount_fen": abs(amount) if amount is not None else None,
                "reason": word(record.get("question_type")),
                "created_at": moment("created", record.get("created") or record.get("as_date")),
                "finished_at": moment("modified", record.get("modified")) if ended else None,
                **raw_case(status, said_state),
            }
        )
        plain = {**self._natural_key(record, word(record.get("so_id"))), "status": "unknown", "refunds": [case]}
        return [Part(read_order(plain))]


def _code(answer: Plain) -> int | None:
    """None where it is no number; 0 where all is well."""
    return _number(answer.get("code") or 0)


def _text(answer: Plain) -> str:
    return f"聚水潭回答 {word(answer.get('code'))}：{word(answer.get('msg'), 200)}"


def _check_pace(answer: Any) -> None:
    if isinstance(answer, dict) and _code(answer) != 0:
        check_pace(_text(answer))


def _check(answer: Plain) -> None:
    code, text = _code(answer), _text(answer)
    if code == 0:
        return
    if code == _TOKEN_WRONG:
        raise PullRefused(f"{text}。授权已失效，请重新授权并更新设置里的 access_token")
    if code in _REFUSED:
        raise PullRefused(f"{text}。请核对 app_key、app_secret、接口权限与 IP 白名单")
    raise PullFailed(f"{text}，稍后自动重试")


def _told(at: datetime) -> str:
    """A local string at +08, as the ERP keeps its times."""
    return at.astimezone(ZoneInfo("Asia/Shanghai")).strftime("%Y-%m-%d %H:%M:%S")


def _records(answer: Plain) -> list[Plain]:
    for name in ("orders", "datas", "logistics", "refunds"):
        if isinstance(answer.get(name), list):
            return dicts(answer[name])
    return []


def _goes_on(answer: Plain, records: list[Plain]) -> bool:
    if not records:
        return False
    told = answer.get("has_next")
    return told if isinstance(told, bool) else len(records) >= _PAGE


def _number(value: Any) -> int | None:
    text = word(value)
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def _status(record: Plain) -> tuple[str, Standing]:
    told, at_shop = word(record.get("status")), word(record.get("shop_status"))
    was_paid = bool(word(record.get("pay_date")))
    if told in ("Merged", "Split"):
        return ("paid" if was_paid else "pending_payment"), "gone"
    if told == "Cancelled":
        return ("closed" if was_paid else "cancelled"), "cancelled"
    if at_shop == "TRADE_FINISHED":
        return "completed", "live"
    return _STATUSES.get(told, "unknown"), "live"


def _common(record: Plain, status: str) -> Plain:
    modified = moment("modified", record.get("modified"))
    sent = moment("send_date", record.get("send_date")) if status in ("shipped", "completed") else None
    return {
        "status": status,
        "raw_status": "/".join(filter(None, (word(record.get("status")), word(record.get("shop_status"))))),
        "currency": word(record.get("currency")) or "CNY",
        "ordered_at": moment("order_date", record.get("order_date")),
        "paid_at": moment("pay_date", record.get("pay_date")),
        "shipped_at": sent,
        "completed_at": moment("end_time", record.get("end_time")) if status == "completed" else None,
        "closed_at": modified if status in ("closed", "cancelled") else None,
        "platform_updated_at": modified,
        "version": _number(record.get("ts")),
    }


def _money(record: Plain, weights: list[int]) -> list[Plain]:
    """The order's money, shared among the shop's orders that it was joined from."""
    shares: list[Plain] = [{} for _ in weights]
    for field, name in (("freight_fen", "freight"), ("discount_fen", "free_amount"), ("payable_fen", "pay_amount")):
        amount = yuan(name, record.get(name))
        if amount is not None:
            for share, part in zip(shares, allocate(max(0, amount), weights), strict=True):
                share[field] = part
    paid = yuan("paid_amount", record.get("paid_amount"))
    if paid is None and word(record.get("pay_date")):
        paid = yuan("pay_amount", record.get("pay_amount"))
    if paid is not None:
        for share, part in zip(shares, allocate(max(0, paid), weights), strict=True):
            share["paid_fen"] = part
    for share, weight in zip(shares, weights, strict=True):
        share["goods_fen"] = weight
    return shares


def _amount(item: Plain) -> int:
    amount = yuan("amount", item.get("amount"))
    if amount is None:
        amount = (yuan("price", item.get("price")) or 0) * count("qty", item.get("qty"))
    return max(0, amount)


def _line_key(o_id: str, item: Plain) -> str:
    return f"{o_id}:{word(item.get('oi_id')) or word(item.get('sku_id'))}"


def _line(o_id: str, item: Plain) -> Plain:
    is_gift = item.get("is_gift") in (True, "true", "True", 1)
    return said(
        {
            "line_key": _line_key(o_id, item),
            "platform_item_id": word(item.get("shop_i_id"), 80),
            "platform_sku_id": word(item.get("shop_sku_id"), 80),
            "merchant_sku": word(item.get("sku_id"), 80),
            "title": word(item.get("name")),
            "spec": word(item.get("properties_value")),
            "image_url": picture(item.get("pic")),
            "qty": max(0, count("qty", item.get("qty"))),
            "unit_price_fen": yuan("price", item.get("price")),
            "paid_fen": 0 if is_gift else yuan("amount", item.get("amount")),
            "is_gift": is_gift,
            "line_status": word(item.get("refund_status"), 40),
        }
    )


def _parcels(record: Plain, o_id: str, items: list[Plain]) -> list[Plain] | None:
    number = word(record.get("l_id"))
    if not number:
        return None
    parcel = {
        "tracking_no": number,
        "carrier_code": word(record.get("lc_id"), 40),
        "carrier_name": word(record.get("logistics_company")),
        "shipped_at": moment("send_date", record.get("send_date")),
        "line_keys": [_line_key(o_id, item) for item in items],
        "source": "jushuitan",
    }
    return [said(parcel)]


def _payments(record: Plain) -> list[Plain] | None:
    pays = [
        said(
            {
                "pay_key": word(pay.get("outer_pay_id")) or word(pay.get("pay_id")) or f"{place + 1}",
                "method": word(pay.get("payment"), 24),
                "amount_fen": max(0, yuan("amount", pay.get("amount")) or 0),
                "paid_at": moment("pay_date", pay.get("pay_date")),
            }
        )
        for place, pay in enumerate(dicts(record.get("pays")))
    ]
    return pays or None


def _buyer(record: Plain) -> Plain:
    ref = {"nick": word(record.get("shop_buyer_id")), "open_id": word(record.get("open_id"))}
    phone = word(record.get("receiver_mobile")) or word(record.get("receiver_phone"))
    receiver = {
        "name": word(record.get("receiver_name")),
        "phone": phone,
        "province": word(record.get("receiver_state")),
        "city": word(record.get("receiver_city")),
        "district": word(record.get("receiver_district")),
        "address": word(record.get("receiver_address")),
    }
    return {
        "buyer_ref": said(ref),
        "receiver": receiver if any(receiver.values()) else None,
        "buyer_note": word(record.get("buyer_message")),
        "seller_note": word(record.get("remark")),
    }
