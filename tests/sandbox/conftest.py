"""A sandbox on loopback, with a small app behind it that takes its callbacks."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from scrm.clock import SandboxClock
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.sandbox.envelope import Envelope

CORP_ID = "ww7f2c19e0a4d83b56"
AGENT_ID = 1000021
TOKEN = "LhVq8sScrm2Token"
KEY = "b5SDOPurRyYHpww0sA7k0AMq2qdb8Mi8E8IJsFo6Bos"
SECRET = "sandbox-secret"


@dataclass
class App:
    """What stands behind the callback address: keeps each request and answers with the next of `statuses`."""

    statuses: list[int] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    content_types: list[str] = field(default_factory=list)
    pages: dict[str, Callable[[web.Request], web.Response]] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.text())
        self.queries.append(dict(request.query))
        self.content_types.append(request.headers["Content-Type"])
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def verify(self, request: web.Request) -> web.Response:
        echo = Envelope(TOKEN, KEY, CORP_ID).decrypt(request.query["echostr"])
        return web.Response(text=echo)

    async def show(self, request: web.Request) -> web.Response:
        page = self.pages.get(request.path)
        return page(request) if page else web.Response(status=404)

    @property
    def events(self) -> list[str]:
        """The decrypted events, in the order they came."""
        envelope = Envelope(TOKEN, KEY, CORP_ID)
        return [envelope.decrypt(body.split("<Encrypt><![CDATA[")[1].split("]]>")[0]) for body in self.bodies]


@dataclass
class Wecom:
    """The sandbox with its callers at hand."""

    sandbox: Sandbox
    clock: SandboxClock
    app: App
    http: aiohttp.ClientSession
    base: str
    config_id: str = ""
    access_token: str = ""

    async def call(self, endpoint: str, query: dict[str, str] | None = None, /, **body: Any) -> dict[str, Any]:
        """A POST of the server API with a valid token, or with the one given in the query."""
        params = {"access_token": await self.token(), **(query or {})}
        raw = json.dumps(body, ensure_ascii=False).encode()
        async with self.http.post(f"{self.base}/cgi-bin/{endpoint}", params=params, data=raw) as response:
            assert response.status == 200
            return await response.json()

    async def token(self) -> str:
        """The access token, fetched once."""
        if not self.access_token:
            self.access_token = (await self.gettoken(corpid=CORP_ID, corpsecret=SECRET))["access_token"]
        return self.access_token

    async def gettoken(self, **query: str) -> dict[str, Any]:
        """The answer of gettoken."""
        async with self.http.get(f"{self.base}/cgi-bin/gettoken", params=query) as response:
            return await response.json()

    async def control(self, act: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer of an act of the pages."""
        async with self.http.post(f"{self.base}/api/{act}", json=body) as response:
            return response.status, await response.json()

    async def page(self, path: str) -> str:
        """The HTML of a page."""
        async with self.http.get(self.base + path) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def scan(self, user: str = "xiaoman") -> tuple[str, str]:
        """A customer scans the code of lina; the external_userid and the welcome code."""
        external_userid = await self.sandbox.scan(user, self.config_id)
        codes = [c.code for c in self.sandbox.world.welcome_codes.values() if c.external_userid == external_userid]
        return external_userid, codes[-1] if codes else ""


@pytest.fixture
async def wecom() -> AsyncIterator[Wecom]:
    """A sandbox with lina and WuHao as members, xiaoman and aning as customers and one channel code of lina."""
    app, clock, port = App(), SandboxClock(), unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        CORP_ID, AGENT_ID, SECRET, TOKEN, KEY, f"{url}/callbacks/wecom", f"{url}/sidebar/", public_url=url
    )
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        sandbox = Sandbox(config, clock, http)
        sandbox.faults.member_confirms_after = None
        sandbox.faults.retry_delays = (0.0, 0.0, 0.0)
        server = web.Application()
        server.router.add_routes(make_routes(sandbox))
        server.router.add_post("/callbacks/wecom", app.take)
        server.router.add_get("/callbacks/wecom", app.verify)
        server.router.add_get("/{page:.*}", app.show)
        sandbox.add_member("lina", "李娜", department="门店一部")
        sandbox.add_member("WuHao", "吴昊")
        sandbox.add_wechat_user("xiaoman", "陈小满", 2, unionid="oDemoUnion0001")
        sandbox.add_wechat_user("aning", "阿宁", 2)
        config_id = sandbox.add_contact_way_seed("expo-a", "展会 A", ["lina"])
        await sandbox.start()
        async with TestServer(server, port=port):
            yield Wecom(sandbox, clock, app, http, f"{url}/sandbox", config_id)
            await sandbox.stop()
