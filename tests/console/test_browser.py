"""The console in a real browser: on a desk and on a phone, by mouse, finger and keyboard."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page

from scrm.http import COOKIE
from tests.console.conftest import SignIn, Visitor
from tests.console.test_door import PAGES
from tests.console.test_playbook_board_browser import axe
from tests.fixtures_browser import OpenPage
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.fixture
async def base(world: World, manager: Visitor) -> str:
    await world.add()
    await world.pass_time(days=3, hours=1, minutes=30)
    return str(world.client.make_url("")).rstrip("/")


async def enter(page: Page, base: str, manager: Visitor) -> None:
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_page_is_wider_than_its_screen_and_axe_finds_nothing(
    base: str, manager: Visitor, open_page: OpenPage, screenshot: Callable[[Page, str], Awaitable[Any]], width: int
) -> None:
    page = await open_page(width=width, phone=width < 500)
    await enter(page, base, manager)
    for path in PAGES:
        await page.goto(base + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        if "?" not in path:
            assert width < 500 or await axe(page) == [], path
            name = path.strip("/").replace("/", "-").replace("console-", "") or "console"
            await screenshot(page, f"console-{name}-{width}")


async def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(
    base: str, manager: Visitor, open_page: OpenPage
) -> None:
    page = await open_page(width=390, phone=True)
    await enter(page, base, manager)
    await page.goto(base + "/console/")
    link = page.get_by_role("link", name="渠道活码")
    assert not await link.is_visible()
    button = page.get_by_role("button", name="菜单")
    await button.focus()
    await page.keyboard.press("Enter")
    assert await link.is_visible()
    assert await button.get_attribute("aria-expanded") == "true"
    await page.keyboard.press("Escape")
    assert not await link.is_visible()
    await button.tap()
    await link.tap()
    await page.wait_for_url("**/console/contact-ways")


async def test_what_narrows_a_log_is_folded_on_a_phone_and_not_on_a_desk(
    base: str, sign_in: SignIn, open_page: OpenPage
) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    for path, field in (("/console/audit?module=sync", "对象编号"), ("/console/callbacks?state=done", "员工")):
        phone, desk = await open_page(width=390, phone=True), await open_page()
        for page in (phone, desk):
            await enter(page, base, boss)
            await page.goto(base + path)
        assert await desk.get_by_label(field, exact=True).is_visible()
        assert not await phone.get_by_label(field, exact=True).is_visible()
        await phone.get_by_text("筛选已选 1 项").tap()
        assert await phone.get_by_label(field, exact=True).is_visible()


async def test_a_search_answers_while_it_is_typed(base: str, manager: Visitor, open_page: OpenPage) -> None:
    page = await open_page()
    await enter(page, base, manager)
    await page.goto(base + "/console/customers")
    await page.get_by_role("searchbox", name="在列表里查找").click()
    await page.keyboard.type("查无此人")
    await page.get_by_text("没有找到“查无此人”").wait_for()
    await page.keyboard.press("Control+A")
    await page.keyboard.type("满")
    await page.get_by_role("link", name="小满").wait_for()
    assert "q=" in page.url


async def test_a_playbook_is_paused_after_a_question_and_goes_on_by_one_tap(
    base: str, manager: Visitor, open_page: OpenPage
) -> None:
    page = await open_page()
    await enter(page, base, manager)
    await page.goto(base + "/console/playbooks/new-customer")
    await page.get_by_role("button", name="暂停进入").click()
    dialog = page.get_by_role("dialog")
    assert "1 位" in await dialog.inner_text()
    await dialog.get_by_role("button", name="取消").click()
    assert not await dialog.is_visible()
    await page.get_by_role("button", name="暂停进入").click()
    await dialog.get_by_role("button", name="暂停进入").click()
    await page.get_by_text("已暂停").wait_for()
    await page.get_by_role("button", name="恢复进入").click()
    await page.get_by_text("已启用").wait_for()
