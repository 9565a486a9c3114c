"""The customer desk in a real browser, by mouse, finger and keyboard."""

import re

import pytest
from playwright.async_api import Page, expect

from scrm.http import COOKIE
from tests.console.conftest import Visitor
from tests.customer_lists.shop import open_shop
from tests.fixtures_browser import OpenPage
from tests.world import World

pytestmark = pytest.mark.browser


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


async def enter(page: Page, world: World, manager: Visitor, path: str) -> None:
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + path)


async def test_a_manager_narrows_the_list_tags_whom_it_finds_and_looks_somebody_up(
    world: World, manager: Visitor, open_page: OpenPage
) -> None:
    await open_shop(world)
    page = await open_page()
    await enter(page, world, manager, "/console/customers")
    await expect(page.get_by_text("共 12 位")).to_be_visible()
    # Several members by key: opened, ticked, closed again where one was.
    owners = page.locator(".several", has_text="跟进员工")
    await owners.locator("summary").focus()
    await page.keyboard.press("Enter")
    await owners.get_by_role("checkbox", name="李娜").focus()
    await page.keyboard.press("Space")
    await expect(page.get_by_text("共 6 位")).to_be_visible()
    await owners.get_by_role("checkbox", name="王伟").check()
    await expect(page.get_by_text("共 11 位")).to_be_visible()
    await expect(owners.locator("summary")).to_have_text("李娜、王伟")
    await owners.get_by_role("checkbox", name="李娜").uncheck()
    await expect(page.get_by_text("共 5 位")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(owners.locator("summary")).to_be_focused()
    await expect(owners.get_by_role("checkbox", name="李娜")).to_be_hidden()
    # Only what was chosen stands in the address, and the way back is the browser's own.
    assert page.url.endswith("/console/customers?owner=wangwei")
    await page.get_by_role("combobox", name="阶段").select_option("复购")
    await expect(page.get_by_text("共 1 位")).to_be_visible()
    await page.get_by_role("link", name="阶段 复购").click()
    await expect(page.get_by_text("共 5 位")).to_be_visible()

    bar = page.locator(".picks-bar")
    await expect(bar).to_be_hidden()
    await page.get_by_label("选中本页").check()
    await expect(bar.get_by_text("已选 5 位")).to_be_visible()
    await page.get_by_label("选中 顾客 4").uncheck()
    await expect(bar.get_by_text("已选 4 位")).to_be_visible()
    await page.get_by_label("选中 顾客 4").check()
    await bar.get_by_role("button", name="选择筛选出的全部客户").click()
    await expect(bar.get_by_text("已选筛选出的全部客户")).to_be_visible()
    await bar.get_by_role("button", name="打标签").click()
    await page.get_by_label("老客").check()
    await page.get_by_role("button", name="开始").click()
    await expect(page.get_by_text("可以离开这个页面")).to_be_visible()
    await world.settle()
    # The page asks for itself again until it is over.
    await expect(page.get_by_text("撤销：把打上的去掉")).to_be_visible()
    await expect(page.get_by_text("已经有了").first).to_be_visible()

    await page.keyboard.press("/")
    await page.keyboard.type("顾客 1")
    hits = page.get_by_role("option")
    await expect(hits.first).to_contain_text("顾客 12")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await expect(hits.nth(1)).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile(r"/console/customers/11$"))


async def test_the_list_and_the_pool_fit_a_phone(world: World, manager: Visitor, open_page: OpenPage) -> None:
    await open_shop(world)
    page = await open_page(width=360, height=740, phone=True)
    await enter(page, world, manager, "/console/customers")
    owner = page.locator(".several", has_text="跟进员工")
    await expect(owner).to_be_hidden()
    await page.get_by_role("button", name="筛选").tap()
    await owner.locator("summary").tap()
    await owner.get_by_role("checkbox", name="李娜").check()
    await expect(page.get_by_text("共 6 位")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await page.locator(".narrowing-head").tap(position={"x": 2, "y": 2})
    await expect(owner.get_by_role("checkbox", name="李娜")).to_be_hidden()
    await page.get_by_label("选中 顾客 11").check()
    await page.locator(".picks-bar").get_by_role("button", name="放入公海").tap()
    await page.get_by_role("button", name="开始").tap()
    await page.wait_for_url(re.compile(r"/bulk/1$"))
    await world.settle()
    paths = ("/console/customers", "/console/customers/bulk", "/console/customers/bulk/1", "/console/customers/11")
    for path in (*paths, "/console/pool", "/console/pool/rules", "/console/customers/bulk/new?act=transfer&person=3"):
        await page.goto(str(world.client.make_url(path)))
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
    await page.goto(str(world.client.make_url("/console/pool")))
    await expect(page.get_by_role("link", name="顾客 11")).to_be_visible()
    await page.get_by_role("button", name="查找客户和订单").tap()
    await page.get_by_role("combobox", name="查找客户和订单").fill("顾客 5")
    await page.get_by_role("option", name="顾客 5").tap()
    await page.wait_for_url(re.compile(r"/console/customers/5$"))
