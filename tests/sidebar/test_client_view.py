"""The built page in every client still seen: a bridge that checks each signature, plays versions, and fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from playwright.async_api import Browser, BrowserContext, Error, Page, Route, expect
from sqlalchemy import Connection

from scrm import sessions
from scrm.app import build_app, open_services, publish_playbooks
from scrm.http import COOKIE
from scrm.profiles.notes import note
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.values import Entity, Type
from scrm.services import Services
from scrm.sop.models import send, task
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.fakes.wecom_view import AGENTS, WebView
from tests.sidebar.conftest import Member
from tests.waiting import eventually
from tests.world import ANING, XIAOMAN, World, make_settings


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What a page does is the same on both databases."""
    return sqlite_url


@pytest.fixture
def port() -> int:
    return unused_port()


@pytest.fixture
async def oauth(aiohttp_server: Any) -> str:
    """WeCom's silent login inside the client: at once back with a code."""

    async def authorize(request: web.Request) -> web.Response:
        query = {"code": "c1", "state": request.query["state"]}
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{urlencode(query)}")

    app = web.Application()
    app.router.add_get("/connect/oauth2/authorize", authorize)
    server = await aiohttp_server(app)
    return str(server.make_url("")).rstrip("/")


@pytest.fixture
async def services(
    database_url: str, clock: FakeClock, wecom: FakeWeCom, port: int, oauth: str
) -> AsyncIterator[Services]:
    """Pages are signed for the very address that the browser shows."""
    settings = make_settings(
        database_url,
        wecom.url,  # type: ignore[attr-defined]
        server={"public_url": f"http://127.0.0.1:{port}"},
        wecom={"oauth_base": oauth},
    )
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        yield services


@pytest.fixture
async def world(services: Services, clock: FakeClock, wecom: FakeWeCom, port: int) -> AsyncIterator[World]:
    async with TestClient(TestServer(build_app(services, with_worker=False), port=port)) as client:
        yield World(services, clock, wecom, client)


@pytest.fixture
async def base(world: World, lina: Member, port: int) -> str:
    """小满 and 阿宁 came three days ago: for each there is something to send."""
    await world.add()
    await world.add(ANING)
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    return f"http://127.0.0.1:{port}"


Enter = Callable[..., Awaitable[BrowserContext]]


@pytest.fixture
def enter(browser: Browser, base: str, lina: Member) -> Enter:
    """Lina's client; what it keeps outlives its pages."""

    async def enter(view: WebView, **more: Any) -> BrowserContext:
        context = await view.open_in(browser, **more)
        await context.add_cookies([{"name": COOKIE, "value": lina.token, "url": base}])
        return context

    return enter


class Held:
    """Requests that wait on the wire until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.arrived = asyncio.Event()

    async def __call__(self, route: Route) -> None:
        self.arrived.set()
        await self.go.wait()
        with suppress(Error):  # the page may have given up waiting
            await route.continue_()


async def lose_answer(route: Route) -> None:
    """The server hears it; the answer never comes back."""
    await route.fetch()
    await route.abort()


async def turn_to(page: Page, view: WebView, contact: str) -> None:
    """The member opens another chat, and this web view stays."""
    view.contact = contact
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


async def test_every_client_shows_who_it_is_beside_and_sends_into_that_chat(
    base: str, enter: Enter, world: World
) -> None:
    views = {name: WebView(name, contact=XIAOMAN, bridge_delay_ms=400 if "ios" in name else 0) for name in AGENTS}
    for name, view in views.items():
        context = await enter(view)
        page = await view.open(context)
        await page.goto(f"{base}/sidebar/?v=1#top")
        await expect(page.get_by_role("heading", name="小满"), name).to_be_visible()
        if name in ("windows 3.0", "windows 5.0"):
            view.contact = XIAOMAN if name == "windows 3.0" else ANING
            await turn_to(page, view, view.contact)
            await expect(page.get_by_role("heading", name="阿宁" if view.contact == ANING else "小满")).to_be_visible()
            await page.get_by_role("button", name="发送到聊天").click()
            await expect(page.locator("#now").get_by_text("已发送"), name).to_be_visible()
        await context.close()
    # Before 3.0.24 the corp's identity comes first, then the app's; later the app's alone.
    assert {"preVerifyJSAPI", "agentConfig"} <= set(views["windows 3.0"].calls)
    assert "preVerifyJSAPI" not in views["windows 5.0"].calls
    assert {chat for chat, _ in views["windows 3.0"].sent} == {XIAOMAN}
    assert {chat for chat, _ in views["windows 5.0"].sent} == {ANING}
    cards = [message["news"] for view in views.values() for _, message in view.sent if "news" in message]
    assert [set(card) for card in cards] == [{"title", "desc", "link", "imgUrl"}] * 2
    rows = await world.rows(send, send.c.kind == "chat")
    assert [row.outcome for row in rows] == ["sent", "sent"]


TROUBLES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("permission", {"refuses": {"getCurExternalContact": ["fail no permission"]}}, "可调用接口的应用"),
    ("signature", {"agent_ticket": "another app's"}, "重新打开"),
    ("domain", {"trusted": "crm.example.test"}, "可信域名"),
    ("settings", {"refuses": {"agentConfig": ["invalid corpId"] * 3}}, "检查应用设置"),
    (
        "settings",
        {
            "refuses": {
                "agentConfig": ["app not operable, more info at https://open.work.weixin.qq.com/devtool/query?e=301002"]
                * 3
            }
        },
        "已停用",
    ),
    ("signature", {"refuses": {"agentConfig": ["fail_invalid_signature"] * 3}}, "重新打开"),
    ("old", {"refuses": {name: ["function not exist"] for name in ("getContext", "getCurExternalContact")}}, "升级"),
    ("entry", {"entry": "chat_attachment"}, "单聊"),
    ("entry", {"refuses": {"getCurExternalContact": ["fail without context of external contact"]}}, "单聊"),
    ("stranger", {"contact": "wmSomebodyElses"}, "不在你的跟进列表里"),
    ("unknown", {"refuses": {"getCurExternalContact": ["fail strange new words"]}}, "重试"),
)


async def test_each_refusal_is_a_page_that_says_what_to_do(base: str, enter: Enter) -> None:
    context = await enter(WebView())
    for kind, given, said in TROUBLES:
        view = WebView(**{"contact": XIAOMAN, **given})
        page = await view.open(context)
        await page.goto(f"{base}/sidebar/")
        trouble = page.locator(f'[data-trouble="{kind}"]')
        await expect(trouble, kind).to_contain_text(said)
        assert await trouble.locator("a.button, button").count() >= 1, kind
        await page.close()
    outside = await context.browser.new_context(locale="zh-CN")  # type: ignore[union-attr]
    await outside.add_cookies(await context.cookies())  # type: ignore[arg-type]
    page = await outside.new_page()
    await page.goto(f"{base}/sidebar/")
    await expect(page.locator('[data-trouble="outside"]')).to_contain_text("请在企业微信里打开")
    await page.goto(f"{base}/sidebar/contacts/wmSomebodyElses")
    await expect(page.get_by_role("alert")).to_contain_text("不在你的跟进列表里")


async def test_a_signature_that_has_expired_is_made_anew_once_and_then_said(
    base: str, enter: Enter, world: World
) -> None:
    view = WebView(contact=ANING)
    page = await view.open(await enter(view))
    await page.goto(f"{base}/sidebar/")
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    view.expire()
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    assert len(view.sent) == 2  # the words and the coupon, each once
    assert view.calls.count("agentConfig") == 2
    assert [row.outcome for row in await world.rows(send, send.c.kind == "chat")] == ["sent"]

    # A ticket that is no good any more: who is in front of us cannot be known, so nobody is shown.
    view.agent_ticket = "of another day"
    view.expire()
    await turn_to(page, view, XIAOMAN)
    await expect(page.locator('[data-trouble="signature"]')).to_contain_text("签名可能已过期，重新打开就好")
    await expect(page.get_by_role("heading", name="阿宁")).to_have_count(0)
    view.agent_ticket = WebView.agent_ticket
    await page.get_by_role("button", name="重新打开").click()
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()


async def test_silence_slowness_and_a_dead_network_are_told_and_mended_by_trying_again(base: str, enter: Enter) -> None:
    view = WebView(contact=XIAOMAN, refuses={"getContext": [None]})
    page = await view.open(await enter(view))
    await page.clock.install()
    await page.goto(f"{base}/sidebar/")
    await expect(page.locator(".skeleton")).to_be_visible()
    await eventually(lambda: "getContext" in view.calls)
    await page.clock.fast_forward("00:06")
    await expect(page.get_by_text("网络有点慢，还在读取")).to_be_visible()
    await page.clock.fast_forward("00:08")
    await expect(page.locator('[data-trouble="silence"]')).to_contain_text("企业微信没有回应")

    held = Held()
    await page.route("**/sidebar/contacts/*", held)
    await page.get_by_role("button", name="重试").click()
    await held.arrived.wait()
    await expect(page.locator(".skeleton")).to_be_visible()
    await page.clock.fast_forward("00:16")
    await expect(page.locator('[data-trouble="slow"]')).to_be_visible()
    held.go.set()

    await page.unroute("**/sidebar/contacts/*")
    await page.route("**/sidebar/contacts/*", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    await page.get_by_role("button", name="重试").click()
    await expect(page.locator('[data-trouble="server"]')).to_be_visible()
    await page.unroute("**/sidebar/contacts/*")

    await page.context.set_offline(True)
    await page.get_by_role("button", name="重试").click()
    await expect(page.locator('[data-trouble="offline"]')).to_be_visible()
    await expect(page.locator(".network")).to_be_visible()
    await page.context.set_offline(False)
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    await expect(page.locator(".network")).to_be_hidden()


async def test_turning_to_another_chat_never_shows_or_sends_to_the_wrong_person(
    base: str, enter: Enter, world: World
) -> None:
    view = WebView(contact=XIAOMAN)
    page = await view.open(await enter(view))
    slow_page = Held()
    await page.route(f"**/sidebar/contacts/{XIAOMAN}", slow_page)
    await page.goto(f"{base}/sidebar/")
    await slow_page.arrived.wait()
    await turn_to(page, view, ANING)
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    slow_page.go.set()
    await page.wait_for_timeout(300)
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    await expect(page.get_by_role("heading", name="小满")).to_have_count(0)

    # Her message is let go while another chat is open: nothing goes out, and the task stays to be done.
    slow_release = Held()
    await page.route("**/sidebar/tasks/*/release", slow_release)
    await page.get_by_role("button", name="发送到聊天").click()
    await slow_release.arrived.wait()
    await turn_to(page, view, XIAOMAN)
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    slow_release.go.set()
    await eventually(lambda: _outcome(world, ANING), 10)
    assert view.sent == []
    assert await _outcome(world, ANING) == "failed"
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    assert await page.locator("send-to-chat").get_attribute("contact") == XIAOMAN

    # An answer about her that comes late is not put into the page of another.
    slow_skip = Held()
    await page.route("**/sidebar/tasks/*/skip", slow_skip)
    await page.get_by_role("button", name="跳过").click()
    await page.get_by_role("button", name="客户不需要").click()
    await slow_skip.arrived.wait()
    await turn_to(page, view, ANING)
    await expect(page.get_by_role("heading", name="阿宁")).to_be_visible()
    slow_skip.go.set()
    await eventually(lambda: _state(world, XIAOMAN, "skipped"), 10)
    await page.wait_for_timeout(200)
    assert await page.locator("send-to-chat").get_attribute("contact") == ANING
    await expect(page.get_by_text("已跳过")).to_have_count(0)


async def _outcome(world: World, contact: str) -> str:
    rows = await world.rows(send, send.c.kind == "chat", send.c.external_userid == contact)
    return rows[0].outcome if rows and rows[0].outcome != "intent" else ""


async def _state(world: World, contact: str, state: str) -> bool:
    rows = await world.rows(task, task.c.external_userid == contact)
    return any(row.state == state for row in rows)


async def test_a_page_that_was_thrown_away_comes_back_as_it_was(base: str, enter: Enter, world: World) -> None:
    view = WebView(contact=XIAOMAN)
    context = await enter(view)
    page = await view.open(context)
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("tab", name="订单").click()
    await page.get_by_role("button", name="改一改").click()
    await page.get_by_label("要发送的内容").fill("小满，这句话还没写完")
    await page.close()

    # The login that is asked for meanwhile leads back to this very place.
    await world.services.db.write(sessions.close_session, (await context.cookies())[0]["value"])
    world.wecom.say("auth/getuserinfo", {"errcode": 0, "errmsg": "ok", "userid": "lina"})
    page = await view.open(context)
    await page.goto(f"{base}/sidebar/")
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    await expect(page.get_by_role("tab", name="订单")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_label("要发送的内容")).to_have_value("小满，这句话还没写完")

    # Sent, but the network is gone before that is told: once in the chat, and told as soon as a page lives again.
    await context.route("**/sidebar/tasks/*/sending", lambda route: route.abort())
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.get_by_role("alert").filter(has_text="网络恢复后会自动补上")).to_be_visible()
    assert [message["text"]["content"] for chat, message in view.sent if "text" in message] == ["小满，这句话还没写完"]
    await page.close()
    await context.unroute("**/sidebar/tasks/*/sending")
    # The first time the answer is lost on its way back; the second time nothing is counted twice.
    await context.route("**/sidebar/tasks/*/sending", lose_answer, times=1)
    page = await view.open(context)
    await page.goto(f"{base}/sidebar/")
    await eventually(lambda: _state(world, XIAOMAN, "sent"), 10)
    await page.reload()
    await eventually(lambda: page.evaluate("(localStorage.getItem('unreported') || '[]') === '[]'"), 10)
    rows = await world.rows(send, send.c.kind == "chat", send.c.external_userid == XIAOMAN)
    assert [row.outcome for row in rows] == ["sent"]
    await page.reload()
    await expect(page.locator("#now").get_by_text("要发送的内容")).to_have_count(0)


async def test_a_session_lost_in_the_middle_of_an_act_comes_back_to_it(base: str, enter: Enter, world: World) -> None:
    view = WebView(contact=XIAOMAN)
    context = await enter(view)
    page = await view.open(context)
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("button", name="改一改").click()
    await page.get_by_label("要发送的内容").fill("登录过期也不丢")
    world.wecom.say("auth/getuserinfo", {"errcode": 0, "errmsg": "ok", "userid": "lina"})
    await world.services.db.write(sessions.close_session, (await context.cookies())[0]["value"])
    await page.get_by_role("button", name="发送到聊天").click()
    await eventually(lambda: world.wecom.called("auth/getuserinfo"), 10)
    await expect(page.get_by_label("要发送的内容")).to_have_value("登录过期也不丢")
    assert view.sent == []
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    assert view.sent[0][1]["text"]["content"] == "登录过期也不丢"


async def test_a_note_and_a_field_that_were_half_written_when_the_session_ended_are_kept_and_saved_once(
    base: str, enter: Enter, world: World
) -> None:
    await world.services.db.write(_define_shade, world.clock.now())
    context = await enter(WebView(contact=XIAOMAN))
    page = await WebView(contact=XIAOMAN).open(context)
    world.wecom.say("auth/getuserinfo", {"errcode": 0, "errmsg": "ok", "userid": "lina"})
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("button", name="写跟进").first.click()
    words = page.get_by_label("跟进内容")
    await words.fill("想要 02 色号，下周再买。")
    await world.services.db.write(sessions.close_session, (await context.cookies())[0]["value"])
    await page.locator("#sheet").get_by_role("button", name="保存").click()
    await eventually(lambda: world.wecom.called("auth/getuserinfo"), 10)
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    await expect(page.locator("#sheet")).to_be_hidden()
    await page.get_by_role("button", name="写跟进").first.click()
    await expect(words).to_have_value("想要 02 色号，下周再买。")
    await page.locator("#sheet").get_by_role("button", name="保存").click()
    await expect(page.locator("#notes")).to_contain_text("02 色号")
    assert [row.text for row in await world.rows(note)] == ["想要 02 色号，下周再买。"]

    # A field of the shop's own, and the web view is thrown away before it was saved.
    await page.get_by_role("tab", name="画像").click()
    await page.locator("summary", has_text="常用色号").click()
    await page.get_by_label("常用色号").fill("02 豆沙")
    await page.close()
    page = await WebView(contact=XIAOMAN).open(context)
    await page.goto(f"{base}/sidebar/")
    await expect(page.get_by_label("常用色号")).to_have_value("02 豆沙")
    await page.locator("details", has_text="常用色号").get_by_role("button", name="保存").click()
    await expect(page.locator("summary", has_text="常用色号")).to_contain_text("02 豆沙")
    # Saved is saved: the next page has nothing half-written, and the note is not offered again.
    await page.reload()
    await page.get_by_role("button", name="写跟进").first.click()
    await expect(page.get_by_label("跟进内容")).to_have_value("")


def _define_shade(conn: Connection, now: datetime) -> None:
    custom_fields.define(conn, Entity.PERSON, custom_fields.Definition("常用色号", Type.TEXT, "shade"), now)


async def test_acts_on_a_dead_network_say_so_and_change_nothing(base: str, enter: Enter, world: World) -> None:
    view = WebView(contact=XIAOMAN)
    page = await view.open(await enter(view))
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("button", name="改一改").click()
    await page.get_by_label("要发送的内容").fill("断网时写的")
    await page.context.set_offline(True)
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.get_by_role("alert")).to_contain_text("网络已断开")
    await page.get_by_role("button", name="跳过").click()
    await page.get_by_role("button", name="客户不需要").click()
    await expect(page.locator(".toast")).to_contain_text("没有保存成功")
    await page.keyboard.press("Escape")
    assert view.sent == []
    assert not await _state(world, XIAOMAN, "skipped")
    await page.context.set_offline(False)
    await expect(page.get_by_label("要发送的内容")).to_have_value("断网时写的")
    await page.get_by_role("button", name="发送到聊天").click()
    await expect(page.locator("#now").get_by_text("已发送")).to_be_visible()
    assert view.sent[0][1]["text"]["content"] == "断网时写的"
    assert len(await world.rows(send, send.c.kind == "chat")) == 1


async def test_an_engine_that_cannot_run_the_page_reads_and_copies(
    base: str, enter: Enter, world: World, browser: Browser
) -> None:
    view = WebView("android 3.1", contact=XIAOMAN)
    context = await enter(view, permissions=["clipboard-read", "clipboard-write"])
    page = await view.open(context)
    await page.route("**/static/dist/sidebar-*.js", lambda route: route.abort())
    await page.goto(f"{base}/sidebar/")
    first = page.locator(".plain-task").first
    await expect(first).to_contain_text("就到期了")
    await expect(page.get_by_text("页面脚本没有运行")).to_be_hidden()
    await first.get_by_role("button", name="复制文案").click()
    await expect(first.get_by_role("button", name="已复制")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert "就到期了" in copied
    assert "/c/" in copied
    await page.goto(f"{base}/sidebar/contacts/{XIAOMAN}")
    await expect(page.get_by_text("页面脚本没有运行")).to_be_visible()
    await expect(page.locator("#now")).to_contain_text("就到期了")
    await expect(page.get_by_role("button", name="发送到聊天")).to_be_hidden()
    await page.get_by_role("button", name="复制文案").click()
    await expect(page.get_by_role("button", name="已复制")).to_be_visible()

    bare = await enter(WebView("windows 5.0"), java_script_enabled=False)
    page = await bare.new_page()
    await page.goto(f"{base}/sidebar/contacts/{XIAOMAN}")
    await expect(page.locator("#now")).to_contain_text("就到期了")
    await page.goto(f"{base}/sidebar/")
    await page.get_by_role("link", name="看待办文案").click()
    await page.locator(".plain-task", has_text="小满").get_by_role("button", name="我已发送").click()
    await expect(page.locator(".plain-task")).to_have_count(1)
    assert await _state(world, XIAOMAN, "sent")
