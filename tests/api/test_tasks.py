"""GET /api/v1/tasks and /api/v1/sends, as programs outside read them."""

from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scrm.api import sends as api_sends
from scrm.api import tasks as api_tasks
from scrm.api.auth import CALLER
from scrm.api.store import Caller
from scrm.services import SERVICES
from scrm.sop.members import tasks
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.sop.shop import open_shop, playbook_of, step


@pytest.fixture
async def shop(database_url: str, aiohttp_server: Any) -> Any:
    fake = FakeWeCom()
    fake.url = str((await aiohttp_server(fake.app)).make_url("")).rstrip("/")
    async with open_shop(database_url, FakeClock(), fake) as shop:
        yield shop


@pytest.fixture
async def client(shop: Any) -> Any:
    @web.middleware
    async def admit(request: web.Request, handler: Any) -> Any:
        request[CALLER] = Caller("erp", "manager")
        return await handler(request)

    app = web.Application(middlewares=[admit])
    app[SERVICES] = shop.services
    app.add_routes(api_tasks.routes)
    app.add_routes(api_sends.routes)
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(client: Any, path: str) -> list[dict[str, Any]]:
    response = await client.get(path)
    assert response.status == 200
    items: list[dict[str, Any]] = (await response.json())["items"]
    return items


async def test_a_task_is_listed_with_its_text_and_the_state_people_see(shop: Any, client: Any) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    who = await shop.add("小满")
    await shop.pass_time(hours=1)
    (item,) = await get(client, "/api/v1/tasks?userid=LINA&state=open")
    assert (item["external_userid"], item["playbook"], item["step"]) == (who.external_userid, "new-customer", "ask")
    assert (item["state"], item["state_text"], item["text"]) == ("open", "待员工确认", "ask: 小满，我是丽娜")
    await tasks.postpone(shop.services, "lina", item["id"], shop.clock.now() + timedelta(hours=1))
    assert await get(client, "/api/v1/tasks?state=open") == []
    assert len(await get(client, "/api/v1/tasks?state=postponed")) == 1
    shop.clock.advance(hours=25)
    (item,) = await get(client, "/api/v1/tasks?state=expired")
    assert item["state_text"] == "已过期"


async def test_what_a_member_sent_is_in_the_ledger(shop: Any, client: Any) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    who = await shop.add("小满")
    await shop.pass_time(hours=1)
    (item,) = await get(client, "/api/v1/tasks")
    await tasks.release(shop.services, "lina", item["id"])
    await tasks.confirm_sent(shop.services, "lina", item["id"], True)
    (sent,) = await get(client, f"/api/v1/sends?external_userid={who.external_userid}")
    assert (sent["kind"], sent["outcome"], sent["task_id"]) == ("chat", "sent", item["id"])
    assert sent["sent_at"] == shop.clock.now().isoformat()
