"""The tab of scripts in a real browser: found by first letters, sent in one tap, changed, kept, deleted and brought back."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import Connection

from scrm.content.library import keep
from scrm.content.library.keep import Placed
from scrm.content.library.models import script_use
from scrm.content.library.said import Said
from scrm.http import COOKIE
from scrm.sop.models import send
from tests.fixtures_browser import OpenPage
from tests.sidebar.conftest import Member
from tests.sidebar.test_browser import CLIENT, _sign, sent
from tests.sidebar.test_scripts import write
from tests.world import ANING, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.fixture
async def page(world: World, lina: Member, open_page: OpenPage) -> Page:
    """Lina beside Aning's chat, in a shop with some two hundred scripts."""
    await world.add(ANING)
    link = {"title": "会员日活动", "url": "https://shop.example.com/a", "desc": "88 折"}
    await write(world, "会员日", "{{ 客户昵称 }}，28 号会员日", {"link": link})
    await write(world, "已发货", "{{ 快递公司 }}已发出")
    await world.services.db.write(_many, world.clock.now())
    page = await open_page(width=360, height=740)
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": lina.token, "url": base}])
    await page.add_init_script(CLIENT.replace("GIVEN", repr({"contact": ANING})))
    await page.route("**/sidebar/signature?*", _sign)
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("tab", name="话术").click()
    return page


def _many(conn: Connection, now: datetime) -> None:
    for number in range(200):
        one = Said(f"常见问题 {number}", f"答复 {number}")
        keep.save(conn, None, one, Placed(), "chenlan", publish=True, now=now)


async def test_the_tab_of_scripts(world: World, page: Page, screenshot: Callable[[Page, str], Awaitable[Any]]) -> None:
    search = page.get_by_role("searchbox")
    await expect(page.locator(".script").first).to_be_visible()
    await screenshot(page, "sidebar-scripts")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    # By first letters, from the keyboard alone.
    await search.fill("hyr")
    await expect(page.locator(".script")).to_have_count(1)
    await search.press("ArrowDown")
    await expect(page.locator(".script-open")).to_be_focused()
    await page.keyboard.press("Enter")
    sheet = page.get_by_role("dialog")
    await expect(sheet.locator(".bubble")).to_have_text("阿宁，28 号会员日")
    await screenshot(page, "sidebar-script")
    await page.keyboard.press("Escape")
    # One tap sends the text and the card; a second one sends them again, as another message.
    for _ in range(2):
        await page.get_by_role("button", name="发送：会员日").click()
        await expect(page.locator(".toast")).to_have_text("已发送")
        await expect(page.get_by_role("button", name="发送：会员日")).to_be_enabled()
    assert await sent(page) == ["阿宁，28 号会员日", "会员日活动"] * 2
    # What the client refuses half-way goes on where it stopped.
    await page.evaluate("client.refuses = [null, 'fail no permission']")
    await page.locator(".script-open").click()
    await sheet.get_by_role("button", name="改一改").click()
    await sheet.get_by_label("要发送的内容").fill("阿宁，后天会员日")
    await sheet.get_by_role("button", name="发送到聊天").click()
    await expect(sheet.get_by_role("alert")).to_contain_text("前 1 条已发出")
    await sheet.get_by_role("button", name="发送到聊天").click()
    await expect(sheet).to_be_hidden()
    assert (await sent(page))[4:] == ["阿宁，后天会员日", "会员日活动"]
    outcomes = [row.outcome for row in await world.rows(send, send.c.kind == "chat", send.c.once.like("script:%"))]
    assert outcomes == ["sent"] * 3
    assert [row.is_edited for row in await world.rows(script_use)].count(True) == 1
    # What is missing is filled in by hand, and kept as one's own.
    await search.fill("yfh")
    await page.get_by_role("button", name="补上").click()
    await expect(sheet.get_by_text("缺少变量：快递公司")).to_be_visible()
    await sheet.get_by_role("button", name="发送到聊天").click()
    await expect(sheet.get_by_role("alert")).to_contain_text("还有没填的内容：【快递公司】")
    await sheet.get_by_label("要发送的内容").fill("顺丰已发出")
    await sheet.get_by_role("button", name="存为我的").click()
    await sheet.get_by_label("名字").fill("顺丰发货")
    await sheet.get_by_role("button", name="保存").click()
    await expect(page.locator(".toast")).to_contain_text("已存到“我的”")
    await page.locator(".scripts-view", has_text="我的").click()
    await expect(page.locator(".script-title")).to_have_text("顺丰发货")
    # Deleted, and brought back.
    await page.locator(".script-open").click()
    await sheet.get_by_role("button", name="删除").click()
    await expect(page.locator(".script")).to_have_count(0)
    await page.get_by_role("button", name="撤销").click()
    await expect(page.locator(".script")).to_have_count(1)
    # A star stays.
    await page.locator(".script-open").click()
    await sheet.get_by_role("button", name="收藏").click()
    await expect(sheet.get_by_role("button", name="收藏")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("Escape")
    await page.locator(".scripts-view", has_text="收藏").click()
    await expect(page.locator(".script-title")).to_have_text("顺丰发货")


async def test_without_a_chat_the_words_are_copied(world: World, page: Page) -> None:
    await page.evaluate("client.contact = 'wmSomebodyElse'")
    await page.get_by_role("searchbox").fill("hyr")
    await page.get_by_role("button", name="发送：会员日").click()
    await expect(page.locator(".toast")).to_contain_text("不是这位客户的聊天")
    await expect(page.get_by_role("button", name="复制：会员日")).to_be_visible()
    assert await sent(page) == []


async def test_half_a_script_is_gone_on_with_by_a_new_page_and_a_dead_network_does_not_talk_over_it(
    world: World, page: Page
) -> None:
    search, send_it = page.get_by_role("searchbox"), page.get_by_role("button", name="发送：会员日")
    await search.fill("hyr")
    await page.evaluate("client.refuses = [null, 'fail no permission']")
    await send_it.click()
    await expect(page.locator(".toast")).to_contain_text("前 1 条已发出")
    await page.reload()
    await search.fill("hyr")
    await expect(page.locator(".script")).to_have_count(1)
    await page.locator(".script-open").click()
    sheet = page.get_by_role("dialog")
    await expect(sheet.locator(".already")).to_contain_text("7 天")
    await expect(sheet.locator(".already[aria-busy]")).to_have_count(0)
    for path in ("**/scripts/*/sending", "**/told*"):
        await page.route(path, lambda route: route.abort())
    async with page.expect_event("requestfailed", lambda request: "/told" in request.url):
        await sheet.get_by_role("button", name="发送到聊天").click()
    assert await sent(page) == ["会员日活动"]
    await page.wait_for_timeout(100)
    await expect(page.locator(".toast")).to_contain_text("已发送。结果还没有记下来")
