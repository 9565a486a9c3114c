"""A shop system of one's own that is asked over HTTP for canonical orders (docs/sources.md, commerce 1.15)."""

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr

from scrm.commerce.canonical import read_order
from scrm.commerce.connectors.hook import Plain, SourceOptions
from scrm.commerce.connectors.pull import Caller, Page, Part, Pull, PullFailed, Stream, Window
from scrm.commerce.connectors.values import dicts, word

_MOST_PAGES = 10_000


class Options(SourceOptions):
    """[sources.<key>] with kind = "generic_rest"; `channel` and `shop_key` stand in where an order names none."""

    kind: Literal["generic_rest"]
    url: str = Field(pattern=r"^https?://[^/\s]+")
    # Sent as a Bearer token; empty: none.
    token: SecretStr = SecretStr("")
    # Signs each request with the headers of the own-mall scheme; empty: not signed.
    secret: SecretStr = SecretStr("")
    channel: str = Field("mall", pattern=r"^[a-z][a-z0-9_]{0,23}$")
    page_size: int = Field(100, ge=1, le=500)
    since_days: int = Field(30, ge=0, le=3650)


def sign(secret: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Hex HMAC-SHA256 over timestamp, nonce and body, a line each."""
    return hmac.new(secret.encode(), f"{timestamp}\n{nonce}\n".encode() + body, hashlib.sha256).hexdigest()


class GenericRest(Pull):
    """GET url?updated_from&updated_to&page&page_size (&cursor) answers {"orders": [...], "has_more", "next_cursor"}."""

    kind = "generic_rest"
    title = "自有商城接口"
    options_type = Options
    streams = (Stream("orders", "订单", timedelta(minutes=5), timedelta(days=1)),)
    limits = ((5, 1.0),)
    route = "api"

    async def pages(self, caller: Caller, stream: str, window: Window) -> AsyncIterator[Page]:
        cursor = ""
        seen: set[str] = set()
        for number in range(1, _MOST_PAGES + 1):
            params = {
                "updated_from": window.begins_at.isoformat(timespec="seconds"),
                "updated_to": window.ends_at.isoformat(timespec="seconds"),
                "page": str(number),
                "page_size": str(self.options.page_size),
            }
            if cursor:
                params["cursor"] = cursor
            answer = await caller.get(self.options.url, params, lambda: self._headers(caller))
            if not isinstance(answer, dict) or not isinstance(answer.get("orders"), list):
                raise PullFailed('接口应回答 {"orders": [...]}，请核对接口（见 docs/sources.md）')
            records = dicts(answer["orders"])
            total = answer.get("total")
            yield Page(records, total if isinstance(total, int) else None)
            following = word(answer.get("next_cursor"))
            has_more = answer.get("has_more")
            if not isinstance(has_more, bool):
                has_more = bool(following) if "next_cursor" in answer else len(records) >= self.options.page_size
            if not has_more or not records:
                return
            if following in seen:
                raise PullFailed("接口两次给出同一个 next_cursor，停在这里以免没完没了")
            cursor = following
            seen |= {cursor} - {""}
        raise PullFailed(f"一个时间段超过 {_MOST_PAGES} 页，请调大 page_size")

    def _headers(self, caller: Caller) -> dict[str, str]:
        headers = {}
        if token := self.options.token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        if secret := self.options.secret.get_secret_value():
            timestamp, nonce = str(int(caller.now().timestamp())), secrets.token_hex(16)
            headers |= {
                "X-Scrm-Timestamp": timestamp,
                "X-Scrm-Nonce": nonce,
                "X-Scrm-Signature": sign(secret, timestamp, nonce, b""),
            }
        return headers

    def name(self, stream: str, record: Plain) -> str:
        return word(record.get("order_no"))

    def read(self, stream: str, record: Plain, zone: ZoneInfo) -> list[Part]:
        plain = {"channel": self.options.channel, **record}
        if self.options.shop_key:
            plain["shop_key"] = self.options.shop_key
        return [Part(read_order(plain))]
