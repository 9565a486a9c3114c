"""What the page makes of WeCom's client: a yes, a no, half a yes, and silence."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from scrm.http import COOKIE
from scrm.sidebar.link import sidebar_link
from scrm.sop.models import send, task
from tests.fixtures_browser import OpenPage
from tests.waiting import eventually
from tests.world import XIAOMAN, World

# The client as the SDK sees it; `window.answers` says what becomes of each message.
CLIENT = """
Object.defineProperty(navigator, "userAgent", { get: () => "Chrome/107.0 wxwork/5.0.11 WindowsWechat" });
window.answers = [];
window.messages = [];
window.WeixinJSBridge = {
  on() {},
  invoke(name, params, done) {
    if (name === "sendChatMessage") {
      const answer = window.answers.shift();
      window.messages.push(params.msgtype);
      if (answer) done({ err_msg: `sendChatMessage:${answer}` });
    } else {
      done({ err_msg: `${name}:ok`, entry: "single_chat_tools", userId: "CONTACT" });
    }
  },
};
""".replace("CONTACT", XIAOMAN)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What a page does is the same on both databases."""
    return sqlite_url


@pytest.fixture
async def sidebar(world: World, open_page: OpenPage) -> Page:
    """小满's page beside the chat with her, with a task of two messages on top."""
    await world.add()
    await world.pass_time(days=3, hours=1)
    until = world.clock.now().replace(year=world.clock.now().year + 1)
    path = sidebar_link(world.services.vault, "lina", XIAOMAN, until)
    entered = await world.client.get(path, allow_redirects=False)
    page = await open_page(width=360, height=780)
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": entered.cookies[COOKIE].value, "url": base}])
    await page.clock.install()
    await page.add_init_script(CLIENT)
    await page.route("**/sidebar/signature**", _sign)
    await page.goto(f"{base}/sidebar/")
    await expect(page.get_by_role("button", name="发送到聊天")).to_be_visible()
    return page


async def _sign(route: Route) -> None:
    await route.fulfill(json={"timestamp": 1, "nonceStr": "n", "signature": "s"})


async def answer(page: Page, *answers: str) -> None:
    await page.evaluate(f"window.answers = {json.dumps(answers)}; window.messages = []")
    await page.get_by_role("button", name="发送到聊天").click()


async def ledger(world: World) -> Any:
    """The chat's row of the ledger, and the task."""
    (row,) = await world.rows(send, send.c.kind == "chat")
    (found,) = await world.rows(task)
    return row, found


async def test_a_yes_to_every_message_ends_the_task(world: World, sidebar: Page) -> None:
    await answer(sidebar, "ok", "ok")
    await expect(sidebar.get_by_text("已发送").first).to_be_visible()
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("sent", "sent")
    assert await sidebar.evaluate("window.messages") == ["text", "news"]


async def test_a_no_is_told_in_place_and_may_be_tried_again(world: World, sidebar: Page) -> None:
    await answer(sidebar, "fail no permission")
    await expect(sidebar.get_by_role("alert")).to_contain_text("没有权限")
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("failed", "open")
    await answer(sidebar, "ok", "ok")
    await expect(sidebar.get_by_text("已发送").first).to_be_visible()


async def test_what_went_out_is_not_sent_twice_even_by_a_new_page(world: World, sidebar: Page) -> None:
    await answer(sidebar, "ok", "fail invalid mediaid")
    await expect(sidebar.get_by_role("alert")).to_contain_text("前 1 条已发出")
    await sidebar.reload()
    await answer(sidebar, "ok")
    await expect(sidebar.get_by_text("已发送").first).to_be_visible()
    assert await sidebar.evaluate("window.messages") == ["news"]


async def test_a_storage_that_takes_nothing_sends_nothing_twice_and_reports_when_the_network_is_back(
    world: World, sidebar: Page
) -> None:
    await sidebar.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('QuotaExceededError'); }; }")
    await answer(sidebar, "ok", "fail invalid mediaid")
    await expect(sidebar.get_by_role("alert")).to_contain_text("前 1 条已发出")
    await sidebar.route("**/sending", lambda route: route.abort())
    await answer(sidebar, "ok")
    await expect(sidebar.get_by_role("alert")).to_contain_text("结果还没有记下来")
    await expect(sidebar.get_by_role("button", name="发送到聊天")).to_be_hidden()
    await expect(sidebar.get_by_role("button", name="跳过")).to_be_hidden()
    assert await sidebar.evaluate("window.messages") == ["news"]
    await sidebar.unroute("**/sending")
    async with sidebar.expect_response("**/sending"):
        await sidebar.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(sidebar.locator("#now .told")).to_contain_text("已发送")
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("sent", "sent")


async def test_what_this_device_knows_to_be_sent_is_not_asked_about_after_a_reload(world: World, sidebar: Page) -> None:
    await sidebar.route("**/sending", lambda route: route.abort())
    await answer(sidebar, "ok", "ok")
    await expect(sidebar.get_by_role("alert")).to_contain_text("结果还没有记下来")
    await sidebar.reload()
    await expect(sidebar.get_by_role("alert")).to_contain_text("结果还没有记下来")
    await expect(sidebar.get_by_role("button", name="没有发出")).to_be_hidden()
    await expect(sidebar.get_by_role("button", name="发送到聊天")).to_be_hidden()
    await sidebar.unroute("**/sending")
    await sidebar.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(sidebar.locator("#now .told")).to_contain_text("已发送")
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("sent", "sent")


async def test_silence_is_neither_a_yes_nor_a_no_and_the_member_is_asked(world: World, sidebar: Page) -> None:
    await answer(sidebar, "")
    await eventually(lambda: sidebar.evaluate("window.messages.length"))
    await sidebar.clock.fast_forward("00:13")
    await expect(sidebar.get_by_text("还不知道有没有发出")).to_be_visible()
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("intent", "open")
    await sidebar.get_by_role("button", name="已经发出").click()
    await expect(sidebar.get_by_text("已发送").first).to_be_visible()
    row, found = await ledger(world)
    assert (row.outcome, found.state) == ("sent", "sent")
