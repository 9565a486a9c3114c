"""A shop with a source of every kind, and hands that sign as the platforms do."""

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from scrm.api.store import make_key
from scrm.app import build_app, open_services
from scrm.services import Services
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import make_settings

SOURCES: dict[str, Any] = {
    "yz": {"kind": "youzan", "client_id": "cid", "client_secret": "cs", "shop_key": "s1"},
    "dd": {"kind": "doudian", "app_key": "71", "app_secret": "ds"},
    "shopify": {"kind": "shopify", "secret": "shpss"},
    "woo": {"kind": "woocommerce", "secret": "woo"},
    "store": {"kind": "wxstore", "app_id": "wx00000000000000aa", "token": "tok"},
    "mall": {"kind": "generic", "secret": "a secret of the mall", "shop_key": "main"},
}


class Platforms:
    """Posts signed messages to our door, and asks the API what became of them."""

    def __init__(self, services: Services, clock: FakeClock, client: "TestClient[Any, Any]") -> None:
        self.services, self.clock, self.client = services, clock, client
        self._count = 0

    async def post(self, source: str, told: Any, **headers: str) -> ClientResponse:
        body = told if isinstance(told, bytes) else json.dumps(told, ensure_ascii=False).encode()
        query, signed = self._sign(source, body)
        return await self.client.post(f"/hooks/{source}", data=body, params=query, headers={**signed, **headers})

    async def push(self, source: str, told: Any, **headers: str) -> None:
        """Acknowledged, and everything that follows is done."""
        response = await self.post(source, told, **headers)
        assert response.status == 200, await response.text()
        await self.services.worker.drain()

    def _sign(self, source: str, body: bytes) -> tuple[dict[str, str], dict[str, str]]:
        if source in ("yz", "dd"):
            first, last, name = (b"cid", b"cs", "Event-Sign") if source == "yz" else (b"71", b"ds", "event-sign")
            return {}, {name: hashlib.md5(first + body + last, usedforsecurity=False).hexdigest()}
        if source in ("shopify", "woo"):
            secret, name = (
                (b"shpss", "X-Shopify-Hmac-Sha256") if source == "shopify" else (b"woo", "X-WC-Webhook-Signature")
            )
            return {}, {name: b64encode(hmac.digest(secret, body, "sha256")).decode()}
        if source == "store":
            signature = hashlib.sha1("".join(sorted(["tok", "1", "n"])).encode(), usedforsecurity=False).hexdigest()
            return {"signature": signature, "timestamp": "1", "nonce": "n"}, {}
        self._count += 1
        at, nonce = str(int(self.clock.now().timestamp())), f"n{self._count}"
        signature = hmac.new(b"a secret of the mall", f"{at}\n{nonce}\n".encode() + body, "sha256").hexdigest()
        return {}, {"X-Scrm-Timestamp": at, "X-Scrm-Nonce": nonce, "X-Scrm-Signature": signature}

    async def orders(self, order_no: str) -> list[dict[str, Any]]:
        response = await self.client.get("/api/v1/orders", params={"order_no": order_no})
        return list((await response.json())["items"])

    async def order(self, order_no: str) -> dict[str, Any]:
        (order,) = await self.orders(order_no)
        return order

    async def rows(self, table: Any) -> list[Any]:
        return await self.services.db.read(lambda conn: list(conn.execute(table.select().order_by(table.c.id))))


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The flows are the same on both databases; the SQL itself is tested on both."""
    return sqlite_url


@pytest.fixture
def sources() -> dict[str, Any]:
    return SOURCES


@pytest.fixture
async def services(
    database_url: str, clock: FakeClock, wecom: FakeWeCom, sources: dict[str, Any]
) -> AsyncIterator[Services]:
    settings = make_settings(database_url, wecom.url, sources=sources)  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        yield services


@pytest.fixture
async def platforms(services: Services, clock: FakeClock) -> AsyncIterator[Platforms]:
    key = await services.db.write(make_key, "erp", "manager", now=clock.now())
    server = TestServer(build_app(services, with_worker=False))
    async with TestClient(server, headers={"Authorization": f"Bearer {key}"}) as client:
        yield Platforms(services, clock, client)
