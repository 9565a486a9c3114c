"""A shop with its people, and the application around them; every test that enters by HTTP lives here."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from scrm.app import build_app, open_services
from scrm.services import Services
from scrm.settings import Settings, load_settings
from scrm.sop.tick import tick
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.remembered import publish_once

XIAOMAN, ANING = "wmXiaoman0000000000000000000001", "wmAning000000000000000000000002"

# What is uploaded and taken out: of this process alone, several of which run the tests beside each other.
FILES = TemporaryDirectory(prefix="scrm-files-")


def make_settings(database_url: str, api_base: str, **more: Any) -> Settings:
    return load_settings(
        environ={},
        database={"url": database_url},
        server={"public_url": "https://crm.example.test", **more.pop("server", {})},
        wecom={
            "corp_id": fake.CORP_ID,
            "agent_id": fake.AGENT_ID,
            "secret": fake.SECRET,
            "token": fake.TOKEN,
            "encoding_aes_key": fake.AES_KEY,
            "api_base": api_base,
            **more.pop("wecom", {}),
        },
        security={"secret_key": "a key of more than thirty-two characters"},
        playbooks={"dir": str(Path(__file__).parent.parent / "config/playbooks")},
        shop={"name": "晴屿美妆"},
        content={"media_dir": f"{FILES.name}/media", **more.pop("content", {})},
        **more,
    )


class World:
    """The running application with a clock that stands still and a WeCom that remembers."""

    def __init__(self, services: Services, clock: FakeClock, wecom: FakeWeCom, client: "TestClient[Any, Any]") -> None:
        self.services, self.clock, self.wecom, self.client = services, clock, wecom, client

    async def tell(self, xml: str | bytes) -> aiohttp.ClientResponse:
        """WeCom posts an event."""
        query, body = fake.callback(xml)
        return await self.client.post("/callbacks/wecom", params=query, data=body)

    async def add(self, external_userid: str = XIAOMAN, userid: str = "lina", **fields: str) -> None:
        """A customer adds a member; everything that follows at once is done when this returns."""
        fields = {"State": "live-1111", "WelcomeCode": f"code-{external_userid}-{userid}", **fields}
        xml = fake.event_xml(
            fields.pop("change_type", "add_external_contact"),
            created_at=int(self.clock.now().timestamp()),
            UserID=userid,
            ExternalUserID=external_userid,
            **fields,
        )
        response = await self.tell(xml)
        assert response.status == 200
        await self.settle()

    async def lose(
        self, change_type: str = "del_follow_user", external_userid: str = XIAOMAN, userid: str = "lina"
    ) -> None:
        xml = fake.event_xml(
            change_type, created_at=int(self.clock.now().timestamp()), UserID=userid, ExternalUserID=external_userid
        )
        assert (await self.tell(xml)).status == 200
        await self.settle()

    async def settle(self) -> None:
        """Everything that is due now is done: work items and steps."""
        while await self.services.worker.drain() + await tick(self.services):
            pass

    async def pass_time(self, **by: float) -> None:
        """Time goes on and what falls due happens, step by step as with a running clock."""
        self.clock.advance(**by)
        await self.settle()

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        """In the order of their numbers: PostgreSQL may put a row that was changed anywhere among the others."""
        query = table.select().where(*where)
        if (number := table.autoincrement_column) is not None:
            query = query.order_by(number)
        return await self.services.db.read(lambda conn: list(conn.execute(query)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def wecom(aiohttp_server: Any) -> FakeWeCom:
    fake_wecom = FakeWeCom()
    server = await aiohttp_server(fake_wecom.app)
    fake_wecom.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]
    fake_wecom.add_contact(XIAOMAN, "小满", "lina", unionid="oUnionXiaoman")
    fake_wecom.add_contact(ANING, "阿宁", "lina")
    return fake_wecom


@pytest.fixture
async def services(database_url: str, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[Services]:
    settings = make_settings(database_url, wecom.url)  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        await publish_once(services)
        yield services


@pytest.fixture
async def world(services: Services, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[World]:
    """Without running loops: tests drain the work and call the tick themselves."""
    server = TestServer(build_app(services, with_worker=False))
    async with TestClient(server) as client:
        yield World(services, clock, wecom, client)


__all__ = ["ANING", "XIAOMAN", "World", "make_settings"]
