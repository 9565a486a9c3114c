"""A program that speaks to our API with its key."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from scrm.api.store import make_key
from scrm.app import build_app
from scrm.services import Services


@pytest.fixture
async def api(services: Services) -> AsyncIterator["TestClient[Any, Any]"]:
    key = await services.db.write(make_key, "erp", "manager", now=services.clock.now())
    server = TestServer(build_app(services, with_worker=False))
    async with TestClient(server, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client
