"""自定义报表 in a real browser: ticked, previewed at once, saved, on the board, moved by keyboard; on a desk and a phone."""

import pytest
from playwright.async_api import expect

from tests.console.conftest import Visitor
from tests.console.test_browser import enter
from tests.fixtures_browser import OpenPage
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def test_a_report_is_made_without_a_word_of_code(world: World, manager: Visitor, open_page: OpenPage) -> None:
    await world.add()
    world.clock.advance(minutes=5)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=1280)
    await enter(page, base, manager)
    await page.goto(base + "/console/reports/mine")
    await page.get_by_role("link", name="新建报表").click()
    preview = page.locator("#preview")
    await preview.locator("polyline").wait_for(state="attached")
    # What does not fit is said beside the form, and the form keeps what was chosen.
    await page.get_by_label("按什么拆分").select_option("shop")
    await preview.get_by_text("“新增客户”不能按平台拆分").wait_for()
    await page.get_by_label("按什么拆分").select_option("member")
    await preview.get_by_role("columnheader", name="员工").wait_for()
    await page.get_by_label("新增人数").check()
    await preview.get_by_role("columnheader", name="新增人数").wait_for()
    await page.get_by_label("名字").fill("员工新增")
    await page.get_by_role("button", name="保存并放到看板").press("Enter")
    await page.get_by_role("heading", name="员工新增").wait_for()
    await page.goto(base + "/console/reports/build")
    await page.get_by_label("名字").fill("每天新增")
    await page.get_by_role("button", name="保存并放到看板").click()
    await page.get_by_role("button", name="上移 每天新增").press("Enter")
    tiles = page.locator(".report-tile > header h2")
    await expect(tiles).to_have_text(["每天新增", "员工新增"])
    await page.get_by_role("button", name="删除 每天新增").click()
    await page.get_by_role("button", name="撤销").click()
    await page.get_by_text("已保存").wait_for()
    await expect(tiles).to_have_text(["员工新增", "每天新增"])
    # A figure's formula by keyboard, and nothing wider than a phone.
    await page.goto(base + "/console/reports/board/repurchase")
    await page.locator(".about").first.focus()
    assert await page.locator(".tip").first.is_visible()
    await page.set_viewport_size({"width": 390, "height": 800})
    for path in ("mine", "build", "board/sop", "board/staff", "board/repurchase", "board/coupons"):
        await page.goto(f"{base}/console/reports/{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path
