"""The shop of the runtime's tests, on each database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.sop.shop import Shop, open_shop


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def wecom(aiohttp_server: Any) -> FakeWeCom:
    fake = FakeWeCom()
    server = await aiohttp_server(fake.app)
    fake.url = str(server.make_url("")).rstrip("/")
    return fake


@pytest.fixture
async def shop(database_url: str, clock: FakeClock, wecom: FakeWeCom) -> AsyncIterator[Shop]:
    async with open_shop(database_url, clock, wecom) as shop:
        yield shop
