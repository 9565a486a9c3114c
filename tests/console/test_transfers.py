"""客户继承: choose a member, customers and a taker; each outcome has its words."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page as BrowserPage

from scrm.http import COOKIE
from scrm.profiles import store as profiles
from scrm.transfers.models import transfer_customer
from tests.console.conftest import Visitor
from tests.fakes.transfers import FakeTransfers
from tests.fixtures_browser import OpenPage
from tests.world import ANING, XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def shop(world: World) -> World:
    for userid, name in (("lina", "李娜"), ("meiqi", "梅琪")):
        await world.services.db.write(profiles.save_member, userid, name=name, now=world.clock.now())
    for contact in (XIAOMAN, ANING):
        await world.add(contact)
    return world


async def post(manager: Visitor, path: str, **fields: Any) -> Any:
    data = {"csrf": manager.csrf, **fields}
    return await manager.world.client.post(path, data=data, headers=manager.cookie, allow_redirects=False)


async def test_a_manager_hands_over_one_customer_and_sees_who_refused(shop: World, manager: Visitor) -> None:
    transfers = FakeTransfers(shop.wecom, shop.clock.now)
    chosen = await manager.get("/console/transfers/new?kind=onjob")
    assert "李娜" in chosen
    form = await manager.get("/console/transfers/new?kind=onjob&from=lina")
    assert "小满" in form
    assert "阿宁" in form
    begun = await post(
        manager, "/console/transfers", kind="onjob", **{"from": "lina"}, to="meiqi", scope="some", customer=XIAOMAN
    )
    assert begun.status == 303
    await shop.settle()
    page = await manager.get(begun.headers["Location"])
    assert "等待接替" in page
    assert "阿宁" not in page
    transfers.settle(XIAOMAN, 3)
    await shop.pass_time(minutes=3)
    page = await manager.get(begun.headers["Location"])
    assert "客户拒绝" in page
    assert "24 小时内拒绝" in page
    assert "李娜 → 梅琪" in await manager.get("/console/transfers")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": "meiqi", "scope": "some"}, "还没有选择客户"),
        ({"to": "", "scope": "all"}, "请选择原员工和接替员工"),
        ({"to": "lina", "scope": "all"}, "同一个人"),
        ({"to": "meiqi", "scope": "some", "customer": "wmNobody"}, "没有可以转接的客户"),
        ({"to": "meiqi", "scope": "all", "message": "好" * 201}, "最多 200 个字"),
    ],
)
async def test_a_wrong_form_comes_back_with_what_to_do(
    shop: World, manager: Visitor, fields: dict[str, str], words: str
) -> None:
    answer = await post(manager, "/console/transfers", kind="onjob", **{"from": "lina"}, **fields)
    assert answer.status == 422
    assert words in await answer.text()
    assert await shop.rows(transfer_customer) == []


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_pages_fit_the_screen(
    shop: World,
    manager: Visitor,
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    width: int,
) -> None:
    transfers = FakeTransfers(shop.wecom, shop.clock.now)
    transfers.refused = {ANING: 40128}
    await post(manager, "/console/transfers", kind="onjob", **{"from": "lina"}, to="meiqi", scope="all")
    await shop.settle()
    base = str(shop.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    for name, path in {"list": "", "new": "/new?kind=onjob&from=lina", "one": "/1"}.items():
        await page.goto(f"{base}/console/transfers{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await screenshot(page, f"transfers-{name}-{width}")
