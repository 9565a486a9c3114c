"""The application beside a sandbox on loopback, with one clock for both that stands still."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from scrm.app import open_services
from scrm.profiles.models import external_contact, follow_user, follow_user_tag
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from scrm.services import Services
from scrm.sync.runs import Outcome, run_sources
from scrm.sync.sources import choose
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.world import make_settings


@dataclass
class Shop:
    """WeCom as it is, our application, and what was asked of WeCom."""

    sandbox: Sandbox
    services: Services
    clock: FakeClock

    async def sync(self, *keys: str, full: bool = False) -> dict[str, Outcome]:
        """Compare these sources, by default customers with what they need."""
        sources = choose(keys or ("members", "tags", "contacts"))
        outcomes = await run_sources(self.services, sources, full=full, asked_at=self.clock.now())
        return {outcome.source.key: outcome for outcome in outcomes}

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        return await self.services.db.read(lambda conn: list(conn.execute(table.select().where(*where))))

    async def write(self, statement: Any) -> None:
        await self.services.db.write(lambda conn: conn.execute(statement) and None)

    def befriend(self, key: str, userid: str = "lina", *, days: float = 30, **more: Any) -> str:
        """A customer who added the member so long ago; the external_userid."""
        if key not in self.sandbox.world.wechat_users:
            self.sandbox.add_wechat_user(key, f"顾客{key}", 2, unionid=f"oUnion{key}")
        at = self.clock.now() - timedelta(days=days)
        return self.sandbox.add_contact_seed(key, userid, created_at=at, **more).external_userid

    def calls(self, endpoint: str) -> int:
        return sum(call.endpoint == endpoint for call in self.sandbox.gateway.calls)

    async def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that a sync may write about customers, to compare with."""
        tables = (external_contact, follow_user, follow_user_tag)
        return {table.name: sorted(map(repr, await self.rows(table))) for table in tables}  # type: ignore[misc]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.fromisoformat("2026-03-02T10:00:00+08:00"))


@pytest.fixture
async def sandbox(clock: FakeClock) -> AsyncIterator[Sandbox]:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    config = SandboxConfig(
        fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY,
        f"{url}/callbacks/wecom", f"{url}/sidebar/", public_url=url,
    )  # fmt: skip
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(config, clock, http)
        app = web.Application()
        app.add_routes(make_routes(sandbox))
        sandbox.add_member("lina", "李娜", department="门店一部")
        sandbox.add_member("WuHao", "吴昊")
        sandbox.add_tag_group("客户来源", ["直播间", "门店"])
        async with TestServer(app, port=port):
            yield sandbox
            await sandbox.stop()


async def open_shop(url: str, sandbox: Sandbox, clock: FakeClock) -> Any:
    """The application's services, as a context."""
    return open_services(make_settings(url, f"{sandbox.config.base_url}"), clock)


@pytest.fixture
async def shop(sqlite_url: str, sandbox: Sandbox, clock: FakeClock) -> AsyncIterator[Shop]:
    async with await open_shop(sqlite_url, sandbox, clock) as services:
        yield Shop(sandbox, services, clock)


@pytest.fixture
async def any_shop(database_url: str, sandbox: Sandbox, clock: FakeClock) -> AsyncIterator[Shop]:
    """On both databases, for what depends on their SQL."""
    async with await open_shop(database_url, sandbox, clock) as services:
        yield Shop(sandbox, services, clock)
