"""谁在等什么, who else writes a draft, and RFM in a real browser: by keys alone, and axe finds nothing."""

import pytest
from playwright.async_api import Page, expect

from scrm.http import COOKIE
from scrm.segments import rfm_refresh
from tests.console.conftest import SignIn, Visitor
from tests.console.test_playbook_board_browser import axe
from tests.console.test_rfm import fill
from tests.fixtures_browser import OpenPage
from tests.world import World

OF = "/console/playbooks/new-customer"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


async def enter(page: Page, world: World, visitor: Visitor, path: str) -> None:
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": visitor.token, "url": base}])
    await page.goto(base + path)


async def press(page: Page, name: str) -> None:
    button = page.get_by_role("button", name=name, exact=True)
    await button.focus()
    await page.keyboard.press("Enter")


async def test_a_run_is_stopped_and_taken_back_by_key_and_a_draft_is_taken_over(
    world: World, manager: Visitor, sign_in: SignIn, open_page: OpenPage
) -> None:
    await world.add()
    page = await open_page(width=390, height=844)
    await enter(page, world, manager, f"{OF}/waiting?step=remind")
    await expect(page.get_by_role("button", name="停止", exact=True)).to_be_visible()
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    # Whatever the row answers, the next key goes on from there.
    await press(page, "停止")
    await expect(page.get_by_role("button", name="撤销", exact=True)).to_be_focused()
    await expect(page.get_by_role("status").filter(has_text="已停止")).to_be_visible()
    assert await axe(page) == []
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="停止", exact=True)).to_be_focused()

    other = await sign_in("wangwei", "王伟", "manager")
    await other.send(f"{OF}/lock", word="价格我来改")
    await enter(page, world, manager, f"{OF}/edit")
    await expect(page.locator("#draft-lock")).to_contain_text("王伟")
    assert await axe(page) == []
    await page.get_by_label("给对方留句话").focus()
    await page.keyboard.type("我接着改")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="接手来改")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="接手来改")).to_have_count(0)
    assert "我接着改" in await other.get(f"{OF}/lock")


async def test_a_class_of_rfm_is_opened_and_kept_as_a_segment(
    world: World, manager: Visitor, open_page: OpenPage
) -> None:
    await fill(world)
    await rfm_refresh.refresh(world.services)
    page = await open_page(width=390, height=844)
    await enter(page, world, manager, "/console/rfm")
    await expect(page.get_by_text("买家 4 人")).to_be_visible()
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    await page.get_by_role("link", name="一般发展客户的 2 位客户").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="买家902")).to_be_visible()
    assert await axe(page) == []
    await page.get_by_role("link", name="存为人群包").click()
    await expect(page.locator("#found")).to_contain_text("2 位客户符合")
    await enter(page, world, manager, "/console/rfm/rules")
    assert await axe(page) == []
    field = page.get_by_label("统计周期")
    await field.focus()
    await expect(field).to_be_focused()
