"""订单推送: where to push to, what could not be read, and the button that replays it."""

import hmac
import json

import pytest

from scrm.commerce.hooks.kinds import Hooks, open_hooks
from tests.console.conftest import Visitor
from tests.world import World, make_settings

SECRET = "a secret of the mall"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The page is the same on both databases."""
    return sqlite_url


@pytest.fixture
def mall(world: World) -> Hooks:
    sources = {"mall": {"kind": "generic", "secret": SECRET, "title": "茶铺小程序"}}
    settings = make_settings("sqlite:///x", "https://qyapi.example.test", sources=sources)
    hooks = world.services.memory[Hooks] = open_hooks(settings)
    return hooks


async def push(world: World, told: object, nonce: str = "n") -> None:
    body, at = json.dumps(told).encode(), str(int(world.clock.now().timestamp()))
    signature = hmac.new(SECRET.encode(), f"{at}\n{nonce}\n".encode() + body, "sha256").hexdigest()
    headers = {"X-Scrm-Timestamp": at, "X-Scrm-Nonce": nonce, "X-Scrm-Signature": signature}
    response = await world.client.post("/hooks/mall", data=body, headers=headers)
    assert response.status == 200
    await world.settle()


async def test_without_a_source_the_page_says_how_to_add_one(manager: Visitor) -> None:
    page = await manager.get("/console/hooks")
    assert "还没有配置来源" in page
    assert "docs/sources.md" in page


async def test_a_message_that_cannot_be_read_stands_there_with_its_reason_until_it_is_replayed(
    manager: Visitor, world: World, mall: Hooks
) -> None:
    receiver = {"name": "林小满", "phone": "13800138000", "address": "文三路 1 号"}
    await push(world, {"order_no": "M1", "paid_fen": 1.5, "receiver": receiver})
    page = await manager.get("/console/hooks")
    for words in ("茶铺小程序", "https://crm.example.test/hooks/mall", "无法解析", "M1：paid_fen：应为整数"):
        assert words in page
    for private in ("林小满", "13800138000", "文三路"):
        assert private not in page.html
    response = await manager.post("/console/hooks/replay")
    assert response.headers["Location"] == "/console/hooks?replayed=1"
    await world.settle()
    assert "无法解析" in await manager.get("/console/hooks")
    await push_again(manager, world)


async def push_again(manager: Visitor, world: World) -> None:
    """By number, and never for what is not there."""
    assert (await manager.post("/console/hooks/1/replay")).headers["Location"] == "/console/hooks?replayed=1"
    assert (await manager.post("/console/hooks/99/replay")).status == 404
    await world.settle()
