"""What every source that is asked for orders provides; a new one is one file and one line in `scrm.commerce.pulls.kinds`."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import aiohttp

from scrm.clock import Clock
from scrm.commerce.canonical import Order
from scrm.commerce.connectors import plain_json
from scrm.commerce.connectors.hook import Plain

BODY_LIMIT = 32 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)
_RETRY_SECONDS = (1.0, 5.0)


class PullFailed(Exception):
    """A source did not answer as it should; asking again later may help. The text is for the manager."""

    retry_seconds: float | None = None


class AskedTooOften(PullFailed):
    """The source wants fewer questions, also because other programs of the shop share its limits."""

    retry_seconds = 15.0


class PullRefused(PullFailed):
    """Keys, tokens or permissions are wrong: nothing helps until somebody has mended them."""

    retry_seconds = 1800.0


@dataclass(frozen=True, slots=True)
class Window:
    """What changed from `begins_at` to `ends_at`."""

    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Some records as they came; `total` is what the source counts in the whole window, where it counts."""

    records: list[Plain]
    total: int | None = None


Standing = Literal["live", "cancelled", "gone"]


@dataclass(frozen=True, slots=True)
class Part:
    """What a record says about one order of a shop.

    `key` names the piece of that order which an ERP keeps by itself; empty: the record speaks of the order as such.
    """

    order: Order
    key: str = ""
    standing: Standing = "live"


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of record that is asked for by itself: how often, and in windows of which length.

    `overlap` is asked for again each time, and nothing younger than `lag` is asked for: sources are late themselves.
    """

    key: str
    title: str
    every: timedelta
    span: timedelta
    overlap: timedelta = timedelta(minutes=10)
    lag: timedelta = timedelta(minutes=1)
    # Whether `newer` goes on by row versions once a first window was read.
    counts_versions: bool = False


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token, and what renews it."""

    access: str
    refresh: str = ""
    expires_at: datetime | None = None


class Caller:
    """HTTP for one source: paced, tried again when the network or the source stumbles, at most 32 MB an answer."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        limits: tuple[tuple[int, float], ...] = (),
        keep: Callable[[Tokens], Awaitable[None]] | None = None,
        find: Callable[[], Awaitable[Tokens | None]] | None = None,
    ) -> None:
        """`limits` are (calls, seconds) for each path; `keep` remembers tokens that were renewed, `find` finds them."""
        self._session, self._clock, self._limits, self._keep, self._find = session, clock, limits, keep, find
        self._called: dict[str, deque[float]] = {}
        self.tokens = Tokens("")

    def now(self) -> datetime:
        return self._clock.now()

    async def renew(self, tokens: Tokens) -> None:
        self.tokens = tokens
        if self._keep is not None:
            await self._keep(tokens)

    async def has_newer_tokens(self) -> bool:
        """Whether another process has renewed them meanwhile: then they are taken, for ours renew nothing any more."""
        found = await self._find() if self._find is not None else None
        if found is None or found == self.tokens:
            return False
        self.tokens = found
        return True

    async def post_form(
        self, url: str, fields: Callable[[], Mapping[str, str]], check: Callable[[Any], None] = lambda answer: None
    ) -> Any:
        """The JSON answer to a form; `fields` are made anew for each try, because signatures grow old.

        `check` raises PullFailed for an answer that is worth another try.
        """
        return await self._call("POST", url, lambda: {"data": dict(fields())}, check)

    async def get(self, url: str, params: Mapping[str, str], headers: Callable[[], Mapping[str, str]]) -> Any:
        """The JSON answer to a GET."""
        return await self._call("GET", url, lambda: {"params": dict(params), "headers": dict(headers())})

    async def _call(
        self,
        method: str,
        url: str,
        make: Callable[[], dict[str, Any]],
        check: Callable[[Any], None] = lambda answer: None,
    ) -> Any:
        for seconds in (*_RETRY_SECONDS, None):
            await self._take_turn(url)
            try:
                answer = await self._once(method, url, make())
                check(answer)
                return answer
            except PullRefused:
                raise
            except (PullFailed, aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
                if seconds is None:
                    raise self._failed(url, error) from None
                await self._clock.sleep(getattr(error, "retry_seconds", None) or seconds)
        raise AssertionError("the last try returns or raises")

    def _failed(self, url: str, error: BaseException) -> PullFailed:
        if isinstance(error, PullFailed):
            return error
        what = "没有在 60 秒内回答" if isinstance(error, TimeoutError) else f"连不上（{type(error).__name__}）"
        return PullFailed(f"{urlsplit(url).netloc} {what}，稍后自动重试")

    async def _once(self, method: str, url: str, how: dict[str, Any]) -> Any:
        async with self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=False, **how) as response:
            body = bytearray()
            async for block in response.content.iter_any():
                body += block
                if len(body) > BODY_LIMIT:
                    raise PullRefused(f"{urlsplit(url).netloc} 的回答超过 {BODY_LIMIT >> 20} MB，请调小每页条数")
            where = f"{urlsplit(url).netloc} 回答 HTTP {response.status}"
            if response.status in (401, 403):
                raise PullRefused(f"{where}：密钥或授权不对，请核对设置与对方后台的 IP 白名单")
            if response.status == 404:
                raise PullRefused(f"{where}：没有这个地址，请核对设置里的网址")
            if response.status == 429:
                raise AskedTooOften(f"{where}：请求太频繁，稍后自动重试")
            if response.status != 200:
                raise PullFailed(f"{where}，稍后自动重试")
        try:
            return plain_json.decode(bytes(body))
        except ValueError:
            raise PullFailed(f"{where}，但内容不是 JSON，稍后自动重试") from None

    async def _take_turn(self, url: str) -> None:
        """Wait until one more call keeps within every limit."""
        called = self._called.setdefault(urlsplit(url).path, deque())
        for calls, seconds in self._limits:
            while len(called) >= calls and (left := called[-calls] + seconds - self._seconds()) > 0:
                await self._clock.sleep(max(left, 0.001))
        called.append(self._seconds())
        longest = max((seconds for _, seconds in self._limits), default=0.0)
        while called and called[0] < self._seconds() - longest:
            called.popleft()

    def _seconds(self) -> float:
        return self._clock.now().timestamp()


class Pull(ABC):
    """One configured source; built once for the life of the process."""

    kind: ClassVar[str]
    title: ClassVar[str]
    options_type: ClassVar[Any]
    streams: ClassVar[tuple[Stream, ...]]
    # Calls per seconds for one path, as the source allows.
    limits: ClassVar[tuple[tuple[int, float], ...]] = ()
    # How many orders one question of the first stream may name; 0: it is only asked for what changed.
    by_number: ClassVar[int] = 0
    # Whose word its orders are: see scrm.commerce.merge.AUTHORITY.
    route: ClassVar[Literal["api", "erp"]] = "erp"

    def __init__(self, key: str, options: Any) -> None:
        self.key, self.options = key, options

    @property
    def shown(self) -> str:
        """The source's name for people."""
        return str(self.options.title or self.title)

    def tokens(self) -> Tokens:
        """Those of the settings."""
        return Tokens("")

    @abstractmethod
    def pages(self, caller: Caller, stream: str, window: Window) -> AsyncIterator[Page]:
        """Everything that changed in the window, page by page; raises PullFailed."""

    def newer(self, caller: Caller, stream: str, version: int) -> AsyncIterator[Page]:
        """Everything after a row version, in the order of versions."""
        raise NotImplementedError

    async def named(self, caller: Caller, order_nos: Sequence[str]) -> list[Plain]:
        """Records of the first stream about these orders, at most `by_number`, whenever they changed."""
        raise NotImplementedError

    @abstractmethod
    def name(self, stream: str, record: Plain) -> str:
        """What the record is called at its source."""

    @abstractmethod
    def read(self, stream: str, record: Plain, zone: ZoneInfo) -> list[Part]:
        """What a record says; raises Unreadable or Invalid in the reader's words."""

    def version(self, record: Plain) -> int:
        """The row version of a record, 0 where there is none."""
        return 0


# How ERPs say that they are asked too often; their codes for it differ and are documented nowhere.
_TOO_OFTEN = ("频繁", "频率", "限流", "超限", "too many", "rate limit")


def check_pace(text: str) -> None:
    """Raises AskedTooOften where an answer's text says so."""
    if any(words in text.lower() for words in _TOO_OFTEN):
        raise AskedTooOften(f"{text}，稍后自动重试")


def find_shop(shops: Mapping[str, str], shop_id: str, channel: str) -> tuple[str, str]:
    """Channel and shop key: as the settings say (`shops = {"10001" = "taobao/qingyu"}`), else as the ERP names it."""
    named = shops.get(shop_id)
    if named is None:
        return channel, shop_id
    channel, _, shop_key = named.partition("/")
    return channel, shop_key


def check_shops(shops: dict[str, str]) -> dict[str, str]:
    """For the options of ERPs; raises ValueError."""
    for shop_id, named in shops.items():
        channel, _, _ = named.partition("/")
        if not channel.isascii() or not channel.replace("_", "").isalnum() or channel != channel.lower():
            raise ValueError(f'expected {shop_id} = "channel/shop_key", such as "taobao/qingyu"')
    return shops
