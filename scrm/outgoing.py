"""Calls systems outside WeCom: signed, with a key that is the same at every try, and never into our own network.

Every call is POST with JSON and these headers:
`Idempotency-Key` the call's key, the same at every try; `X-Scrm-Timestamp` seconds since 1970;
`X-Scrm-Signature` "v1=" and HMAC-SHA256(secret, timestamp + "." + body) in hex.
"""

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
import msgspec
from yarl import URL

from scrm import addresses
from scrm.errors import ScrmError
from scrm.work.retry import TryAgain

# Five seconds, minutes, an hour, some hours; the call's own time ends it.
DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 3600.0, 7200.0, 14400.0)
MOST_ANSWER = 64 * 1024
_PASSING = frozenset({408, 425, 429}) | frozenset(range(500, 600))
_RECEIPT_CHARS = 120


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes, and what it is signed with; `delays` are those of its tries."""

    url: URL
    secret: str
    allow_private: bool = False
    timeout_seconds: float = 10.0
    delays: Sequence[float] = DELAYS


@dataclass(frozen=True, slots=True)
class Call:
    """One call that is to be made now."""

    target: Target
    key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(ScrmError):
    """The other side, or our own rules, say no; trying again does not help. `status` of its answer is in `details`."""


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of X-Scrm-Signature. Pure."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said, whatever it was; `body` is its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def post(http: aiohttp.ClientSession, call: Call, now: datetime) -> str:
    """The other side's receipt, or ""; raises Refused or TryAgain. Redirects are not followed."""
    answer = await ask(http, call, now)
    return receipt_of(answer, call.target.delays)


async def ask(http: aiohttp.ClientSession, call: Call, now: datetime) -> Answer:
    """The other side's answer; raises Refused for an address that is not to be called, TryAgain when there is none."""
    target = call.target
    try:
        # One limit for the look-up and the call: a name server that keeps silent holds nobody up either.
        async with asyncio.timeout(target.timeout_seconds):
            found = await addresses.resolve(target.url, allow_private=target.allow_private)
            return await _ask(http, call, found[0], int(now.timestamp()))
    except addresses.Unreachable as error:
        raise TryAgain(error.text, delays=target.delays) from None
    except addresses.NotPublic as error:
        raise Refused(error.text) from None
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise TryAgain(_why(error, target), delays=target.delays) from None


async def _ask(http: aiohttp.ClientSession, call: Call, address: str, timestamp: int) -> Answer:
    url = call.target.url
    async with http.post(
        url.with_host(address),
        data=call.body,
        headers=_headers(call, timestamp),
        allow_redirects=False,
        server_hostname=url.host if url.scheme == "https" else None,
        # The caller's limit holds, whatever the session's own is.
        timeout=aiohttp.ClientTimeout(total=None),
    ) as answer:
        return Answer(answer.status, answer.headers, await _start_of(answer))


def _why(error: Exception, target: Target) -> str:
    """In the words of who looks after the other side. Pure."""
    if isinstance(error, TimeoutError):
        return f"对方 {target.timeout_seconds:g} 秒内没有回应完"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "和对方建立不了 HTTPS 连接：证书不可信、过期，或与域名不符"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "连不上对方，请检查地址、端口和防火墙"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientConnectionError | OSError):
        return "对方没回应完就断开了连接"
    return "对方的回应不是 HTTP，请检查地址和端口"


def _headers(call: Call, timestamp: int) -> dict[str, str]:
    target = call.target
    return {
        "Host": target.url.authority if not target.url.is_default_port() else str(target.url.host),
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "scrm",
        # The next call may be of another name at the same address.
        "Connection": "close",
        "Idempotency-Key": call.key,
        "X-Scrm-Timestamp": str(timestamp),
        "X-Scrm-Signature": signature(target.secret, timestamp, call.body),
        **call.headers,
    }


async def _start_of(answer: aiohttp.ClientResponse) -> bytes:
    """A longer answer is cut: nobody fills our memory."""
    read = bytearray()
    async for chunk in answer.content.iter_chunked(8192):
        read += chunk
        if len(read) > MOST_ANSWER:
            break
    return bytes(read[:MOST_ANSWER])


def receipt_of(answer: Answer, delays: Sequence[float] = DELAYS) -> str:
    """What a good answer says it received; raises Refused or TryAgain for another."""
    status = answer.status
    if 200 <= status < 300:
        return _said(answer.body)
    if status in _PASSING:
        after = answer.headers.get("Retry-After", "")
        wait = float(after) if after.isascii() and after.isdigit() and len(after) <= 5 else None
        raise TryAgain(f"对方返回 HTTP {status}", delays=delays, retry_after=wait)
    if 300 <= status < 400:
        raise Refused(f"对方要求转到别的地址（HTTP {status}），推送不跟随跳转，请填最终地址", status=status)
    raise Refused(f"对方拒收（HTTP {status}）", status=status)


def _said(body: bytes) -> str:
    """{"receipt": "..."} of the answer; whatever else it says is not kept."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    receipt = answer.get("receipt") if isinstance(answer, dict) else None
    return f"回执 {receipt[:_RECEIPT_CHARS]}" if isinstance(receipt, str) and receipt.isprintable() else ""
