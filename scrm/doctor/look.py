"""What the checks look at together: the services, and answers that several of them need, asked for once."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from scrm.clock import SystemClock
from scrm.services import Services
from scrm.wecom.pacing import within

CALL_SECONDS = 8.0
_TIMEOUT = aiohttp.ClientTimeout(total=CALL_SECONDS)


def why_silent(error: Exception) -> str:
    """Why an address gave no answer, in the words of who has to mend it. Pure."""
    if isinstance(error, TimeoutError):
        return f"{CALL_SECONDS:g} 秒没有回应"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "证书不可信、过期，或与域名不符"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "域名解析不到"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "连接被拒绝，或网络不通"
    return "没有回应完就断开了"


class Look:
    """One examination."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._asked: dict[str, asyncio.Task[Any]] = {}

    async def ask(self, path: str, body: dict[str, Any] | None = None, **params: str) -> dict[str, Any]:
        """A call of WeCom that changes nothing; raises as the client does."""
        return await self._once(f"{path} {body} {params}", lambda: self._call(path, body, params))

    async def agent(self) -> dict[str, Any]:
        """Our own app as WeCom knows it (doc 90227)."""
        return await self.ask("agent/get", agentid=str(self.services.settings.wecom.agent_id))

    async def fetch(self, url: str) -> tuple[int, str]:
        """Status and text of a page of our own, as somebody outside would get it; raises aiohttp's errors."""
        async with self.services.http.get(url, timeout=_TIMEOUT, allow_redirects=False) as response:
            return response.status, (await response.content.read(65536)).decode("utf-8", "replace")

    async def behind_wecom(self) -> timedelta | None:
        """How far this machine's clock is behind WeCom's; None when its answer bears no date."""
        url = f"{self.services.settings.wecom.api_base}/cgi-bin/getcallbackip"
        async with self.services.http.get(url, timeout=_TIMEOUT, allow_redirects=False) as response:
            told = response.headers.get("Date")
        return None if told is None else parsedate_to_datetime(told) - SystemClock().now()

    async def _call(self, path: str, body: dict[str, Any] | None, params: dict[str, str]) -> dict[str, Any]:
        wecom = self.services.wecom
        with within(CALL_SECONDS):
            return await (wecom.get(path, **params) if body is None else wecom.post(path, body))

    async def _once(self, key: str, ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.ensure_future(ask())
        return await asyncio.shield(task)
