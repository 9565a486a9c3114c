"""The sidebar in a real browser, with WeCom's own SDK over a small client of the test's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from scrm.http import COOKIE
from scrm.sop.models import send, task
from tests.fixtures_browser import OpenPage
from tests.sidebar.conftest import Member
from tests.world import ANING, XIAOMAN, World

# The client's side of the SDK: `client.entry`, `client.contact`, what was `client.sent`, what it `client.refuses`.
CLIENT = """
window.client = Object.assign({ entry: "single_chat_tools", contact: "", sent: [], refuses: [] }, GIVEN);
Object.defineProperty(navigator, "userAgent", { get: () =>
  "Mozilla/5.0 Chrome/107.0.5304.110 wxwork/4.1.36 (MicroMessenger/6.2) WindowsWechat" });
Object.defineProperty(navigator, "platform", { get: () => "Win32" });
window.WeixinJSBridge = {
  on() {},
  invoke(name, params, answer) {
    const say = (text, more) => setTimeout(() => answer({ err_msg: name + ":" + text, ...more }), 0);
    if (name === "getContext") return say("ok", { entry: client.entry });
    if (name === "getCurExternalContact") return say("ok", { userId: client.contact });
    if (name !== "sendChatMessage") return say("ok");
    const refusal = client.refuses.shift();
    if (refusal) return say(refusal);
    client.sent.push(params.text ? params.text.content : params.news.title);
    return say("ok");
  },
};
"""


# As a member does in the client's settings.
TEXT_TWICE_AS_LARGE = """[...document.querySelectorAll("body *")]
  .map((it) => [it, parseFloat(getComputedStyle(it).fontSize), parseFloat(getComputedStyle(it).lineHeight)])
  .forEach(([it, font, line]) => { it.style.fontSize = `${font * 2}px`; if (line) it.style.lineHeight = `${line * 2}px`; })
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.fixture
async def base(world: World, lina: Member) -> str:
    """Three days after Aning came."""
    await world.add()
    await world.add(ANING)
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    return str(world.client.make_url("")).rstrip("/")


Beside = Callable[..., Awaitable[Page]]


@pytest.fixture
def beside(base: str, lina: Member, open_page: OpenPage) -> Beside:
    """Lina's web view beside a chat; the signature's own tests are elsewhere."""

    async def beside(path: str = "/sidebar/", *, width: int = 360, **given: Any) -> Page:
        page = await open_page(width=width, height=740)
        await page.context.add_cookies([{"name": COOKIE, "value": lina.token, "url": base}])
        if given.pop("in_client", True):
            client = {"contact": ANING, **given}
            await page.add_init_script(CLIENT.replace("GIVEN", repr(client).replace("None", "null")))
            await page.route("**/sidebar/signature?*", _sign)
        await page.goto(base + path)
        return page

    return beside


async def _sign(route: Route) -> None:
    await route.fulfill(json={"timestamp": 1, "nonceStr": "n", "signature": "s"})


async def sent(page: Page) -> list[str]:
    said: list[str] = await page.evaluate("client.sent")
    return said


@pytest.mark.parametrize("width", [320, 360, 420, 1280])
async def test_nothing_is_wider_than_the_panel_and_every_target_can_be_hit(beside: Beside, width: int) -> None:
    page = await beside(width=width)
    for tab in ("任务", "画像", "订单", "动态"):
        await page.get_by_role("tab", name=tab).click()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        low = await page.evaluate(
            "[...document.querySelectorAll('button, a.button, input')].filter(e => e.offsetHeight && "
            "!e.classList.contains('inline-copy') && e.offsetHeight < 40).map(e => e.outerHTML.slice(0, 80))"
        )
        assert low == []
    await page.evaluate(TEXT_TWICE_AS_LARGE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_one_tap_sends_text_and_card_into_the_chat(
    world: World, beside: Beside, screenshot: Callable[[Page, str], Awaitable[Any]]
) -> None:
    page = await beside()
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    await screenshot(page, "sidebar-task")
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    text, card = await sent(page)
    assert "就到期了" in text
    assert card.startswith("新人券")
    (row,) = await world.rows(send, send.c.kind == "chat")
    assert row.outcome == "sent"


async def test_a_changed_text_is_what_goes_out(beside: Beside) -> None:
    page = await beside()
    await page.get_by_role("button", name="改一改").click()
    await page.get_by_label("要发送的内容").fill("阿宁，券明天到期哦")
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    assert (await sent(page))[0] == "阿宁，券明天到期哦"


async def test_what_went_out_is_not_sent_again_after_a_refusal(world: World, beside: Beside) -> None:
    page = await beside(refuses=[None, "fail no permission"])
    await page.get_by_role("button", name="发送到聊天").click()
    problem = page.get_by_role("alert")
    await expect(problem).to_contain_text("前 1 条已发出")
    await expect(problem).to_contain_text("可调用接口的应用")
    assert len(await sent(page)) == 1
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    text, card = await sent(page)
    assert "就到期了" in text
    assert card.startswith("新人券")


async def test_the_tap_counts_for_the_chat_that_is_open_now(world: World, beside: Beside) -> None:
    page = await beside()
    await expect(page.get_by_role("button", name="发送到聊天")).to_be_visible()
    await page.evaluate(f"client.contact = '{XIAOMAN}'")
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.get_by_role("alert")).to_contain_text("不是这位客户的聊天")
    assert await sent(page) == []
    (row,) = await world.rows(task, task.c.external_userid == ANING)
    assert row.released_at is None


async def test_a_page_that_is_seen_again_shows_the_chat_of_now(beside: Beside) -> None:
    page = await beside()
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    await page.evaluate(f"client.contact = '{XIAOMAN}'; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()


async def test_a_reason_is_asked_from_below_and_a_skip_is_undone(beside: Beside) -> None:
    page = await beside()
    await page.get_by_role("button", name="跳过").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.get_by_role("button", name="跳过").click()
    await page.get_by_role("button", name="客户不需要").click()
    await expect(page.locator("#now").get_by_text("已跳过")).to_be_visible()
    await page.get_by_role("button", name="撤销").click()
    await expect(page.get_by_role("button", name="发送到聊天")).to_be_visible()


async def test_outside_a_chat_the_text_is_copied_and_the_outcome_asked(beside: Beside) -> None:
    page = await beside("/sidebar/tasks", in_client=False)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("link", name="阿宁").click()
    await expect(page.get_by_role("button", name="发送到聊天")).to_be_hidden()
    await page.get_by_role("button", name="复制文案").click()
    await expect(page.get_by_text("还不知道有没有发出")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert "就到期了" in copied
    assert "/c/" in copied
    await page.get_by_role("button", name="已经发出").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"in_client": False}, "请在企业微信里打开"),
        ({"entry": "group_chat_tools"}, "这里是群聊"),
        ({"entry": "normal"}, "今天的待办"),
        ({"contact": "wmSomebodyElses"}, "不在你的跟进列表里"),
    ],
)
async def test_every_other_place_says_where_to_go(beside: Beside, given: dict[str, Any], said: str) -> None:
    page = await beside(**given)
    await expect(page.locator("#screen").get_by_text(said)).to_be_visible()


async def test_no_network_is_said_and_tried_again(beside: Beside) -> None:
    page = await beside(contact=XIAOMAN, entry="group_chat_tools")
    await page.route("**/sidebar/contacts/*", lambda route: route.abort())
    await page.evaluate("client.entry = 'single_chat_tools'; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(page.get_by_text("连不上服务器")).to_be_visible()
    await page.unroute("**/sidebar/contacts/*")
    await page.get_by_role("button", name="重试").click()
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()


async def test_tabs_are_walked_with_the_keyboard(beside: Beside) -> None:
    page = await beside()
    await page.get_by_role("tab", name="画像").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="订单")).to_be_focused()
    await expect(page.get_by_role("tabpanel", name="订单")).to_be_visible()
    await expect(page.get_by_role("tabpanel", name="画像")).to_be_hidden()
