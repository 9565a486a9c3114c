"""The workbench and the group's page in a real browser, with hand and keyboard."""

from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from scrm.http import COOKIE
from scrm.sop.models import send, task
from tests.fixtures_browser import OpenPage
from tests.sidebar.conftest import Member
from tests.sidebar.test_browser import _sign
from tests.sidebar.test_contact import order, save
from tests.sidebar.test_groups import GROUP, group
from tests.sidebar.test_today import give
from tests.world import ANING, XIAOMAN, World

__all__ = ["group"]

# A client that notes what it was asked to do.
CLIENT = """
window.asked = [];
window.place = GIVEN;
Object.defineProperty(navigator, "userAgent", { get: () => "Mozilla/5.0 Chrome/107.0 wxwork/4.1.36 (MicroMessenger/6.2)" });
Object.defineProperty(navigator, "platform", { get: () => "Win32" });
window.WeixinJSBridge = { on() {}, invoke(name, params, answer) {
  asked.push([name, params]);
  const more = { getContext: { entry: place.entry }, getCurExternalContact: { userId: place.contact }, getCurExternalChat: { chatId: place.group } };
  setTimeout(() => answer({ err_msg: name + ":ok", ...more[name] }), 0);
} };
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


async def open_beside(open_page: OpenPage, member: Member, path: str, **place: str) -> Page:
    base = str(member.world.client.make_url("")).rstrip("/")
    page = await open_page(width=360, height=640)
    await page.context.add_cookies([{"name": COOKIE, "value": member.token, "url": base}])
    await page.add_init_script(CLIENT.replace("GIVEN", repr(place)))
    await page.route("**/sidebar/signature?*", _sign)
    await page.goto(base + path)
    return page


async def asked(page: Page, name: str) -> list[Any]:
    said: list[Any] = await page.evaluate(f"asked.filter(([each]) => each === '{name}').map(([, params]) => params)")
    return said


async def top_of(card: Locator) -> float:
    box = await card.bounding_box()
    assert box
    return box["y"]


async def test_the_day_is_worked_through_by_tap_and_by_key(world: World, lina: Member, open_page: OpenPage) -> None:
    await world.add()
    await world.add(ANING)
    now = world.clock.now()
    await give(world, XIAOMAN, title="催付提醒", expires_at=now + timedelta(hours=1))
    await give(world, ANING, title="邀请评价")
    for number in range(12):
        await give(world, f"wmMore{number}", title=f"第 {number} 件")
    page = await open_beside(open_page, lina, "/sidebar/today", entry="normal")
    first = page.locator(".errand-card").first
    await expect(first).to_contain_text("催付提醒")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await first.get_by_role("button", name="去聊天").click()
    # The page's policy forbids what `wait_for_function` is made of.
    for _ in range(100):
        if await asked(page, "openEnterpriseChat"):
            break
        await page.wait_for_timeout(50)
    # The SDK joins lists before it hands them to the client.
    assert XIAOMAN in str(await asked(page, "openEnterpriseChat"))
    # By keys: down to the first, done, undone, down, skipped with a reason.
    await page.locator("h1").click()
    await page.keyboard.press("j")
    await expect(first.locator(".errand")).to_be_focused()
    await page.keyboard.press("d")
    await expect(first).to_contain_text("已发送")
    await expect(page.locator("#today-progress")).to_contain_text("1 / 14")
    await page.keyboard.press("u")
    await expect(first).to_contain_text("去聊天")
    await expect(page.locator("#today-progress")).to_contain_text("0 / 14")
    second = page.locator(".errand-card", has_text="邀请评价")
    await second.locator(".errand").focus()
    await page.keyboard.press("s")
    await page.get_by_role("dialog").get_by_role("button", name="现在不合适").click()
    await expect(second).to_contain_text("已跳过")
    # Fresh after a while, and still where the member was looking.
    watched = page.locator(".errand-card", has_text="第 9 件")
    # What stands below the first screen comes as one scrolls, without a tap.
    await page.locator(".day-next").scroll_into_view_if_needed()
    await expect(page.locator(".errand-card")).to_have_count(14)
    await watched.scroll_into_view_if_needed()
    await page.evaluate("window.scrollBy(0, 200)")
    before = await top_of(watched)
    await give(world, "wmNews", title="刚来的", expires_at=now + timedelta(minutes=30))
    await page.evaluate("document.querySelector('today-list').actedAt = 0")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.locator(".errand-card").first).to_contain_text("刚来的")
    assert abs(await top_of(watched) - before) < 2
    (row,) = await world.rows(task, task.c.title == "邀请评价")
    assert (row.state, row.reason) == ("skipped", "现在不合适")


async def test_on_a_wide_screen_no_card_leaves_a_hole_beside_or_in_itself(
    world: World, lina: Member, open_page: OpenPage
) -> None:
    await world.add()
    await world.add(ANING)
    await give(world, XIAOMAN, title="催付提醒")
    await give(world, XIAOMAN, title="邀请评价")
    page = await open_beside(open_page, lina, "/sidebar/today", entry="normal")
    await page.set_viewport_size({"width": 1280, "height": 800})
    cards, queue = page.locator(".errand-card"), page.locator("#today-errands")
    assert await measure(cards.first, "Width") == await measure(queue, "Width")
    await cards.first.locator("summary").click()
    assert await measure(cards.first.locator(".errand-other"), "Height") >= 44
    await give(world, ANING, title="补货提醒")
    await page.reload()
    await expect(cards).to_have_count(2)
    assert await measure(cards.first, "Width") < await measure(queue, "Width") / 2
    card = page.locator(".errand-card", has_text="补货提醒")
    await card.get_by_role("button", name="完成").click()
    await expect(card).to_contain_text("已发送")
    assert await measure(card.locator(".told"), "Height") == await measure(card, "Height")


async def measure(found: Locator, what: str) -> int:
    points: int = await found.evaluate(f"it => it.offset{what}")
    return points


async def test_beside_a_group_stands_the_group(world: World, lina: Member, group: str, open_page: OpenPage) -> None:
    page = await open_beside(open_page, lina, "/sidebar/", entry="group_chat_tools", group=GROUP)
    await expect(page.get_by_role("heading", name="晴屿会员福利群")).to_be_visible()
    await page.get_by_role("button", name="还没加好友").click()
    await expect(page.locator(".group-list")).to_contain_text("路过的人")
    await expect(page.locator(".group-list")).not_to_contain_text("小满")
    await page.get_by_label("按昵称找").fill("没有")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("没有叫“没有”的人")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_an_order_is_bound_sent_and_taken_back(world: World, lina: Member, open_page: OpenPage) -> None:
    await world.add(ANING)
    await save(world, order("3981-0277", 2, world.clock.now(), buyer_ref={}))
    page = await open_beside(open_page, lina, "/sidebar/", entry="single_chat_tools", contact=ANING)
    await page.get_by_role("tab", name="订单").click()
    await page.get_by_label("订单号、尾号或手机号").fill("0277")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="绑定订单 3981-0277").click()
    await expect(page.locator("#bind").get_by_text("已绑定到这位客户")).to_be_visible()
    await page.get_by_role("button", name="发订单").click()
    await expect(page.get_by_text("已发送", exact=True)).to_be_visible()
    (said,) = await asked(page, "sendChatMessage")
    assert "尾号 0277" in said["text"]["content"]
    (row,) = await world.rows(send, send.c.once.startswith("card:"))
    assert row.outcome == "sent"
    await page.locator("#bind").get_by_role("button", name="撤销").click()
    await expect(page.locator("#bind").get_by_text("已撤销绑定")).to_be_visible()
    await expect(page.get_by_text("还没有认出这位客户的订单")).to_be_visible()
