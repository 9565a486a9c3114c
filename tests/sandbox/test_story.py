"""The story of the three pages in a real browser: scan, greet, answer, open, remind, leave."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from tests.fixtures_browser import OpenPage
from tests.sandbox.conftest import AGENT_ID, Wecom

Screenshot = Callable[[Page, str], Awaitable[Path]]


async def greet(wecom: Wecom) -> None:
    """What an app does with the welcome code of a fresh scan."""
    for _ in range(100):
        codes = [code for code in wecom.sandbox.world.welcome_codes.values() if not code.is_used]
        if codes:
            break
        await asyncio.sleep(0.02)
    link = {"title": "新人专享 ¥30 优惠券", "desc": "满 199 元可用", "url": f"{wecom.sandbox.config.public_url}/c/1"}
    body = {"text": {"content": "你好呀，我是李娜"}, "attachments": [{"msgtype": "link", "link": link}]}
    await wecom.call("externalcontact/send_welcome_msg", welcome_code=codes[0].code, **body)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_customer_scans_is_welcomed_and_opens_the_coupon(
    wecom: Wecom, open_page: OpenPage, screenshot: Screenshot, width: int, height: int
) -> None:
    wecom.app.pages["/c/1"] = lambda _: web.Response(text="<h1>coupon</h1>", content_type="text/html")
    phone = await open_page(width=width, height=height, phone=width < 500)
    await phone.goto(f"{wecom.base}/phone?user=xiaoman")
    await phone.get_by_role("button", name="扫一扫").first.click()
    await phone.get_by_text("展会 A").first.click()
    await phone.get_by_role("button", name="添加到通讯录").click()
    await expect(phone.get_by_text("你已添加了李娜")).to_be_visible()
    await greet(wecom)
    await expect(phone.get_by_text("你好呀，我是李娜")).to_be_visible()
    await screenshot(phone, f"sandbox-phone-{width}")
    await phone.get_by_text("新人专享 ¥30 优惠券").click()
    await expect(phone.frame_locator("[data-browser-frame]").get_by_text("coupon")).to_be_visible()
    await phone.get_by_role("button", name="关闭网页").click()
    await phone.get_by_label("发消息").fill("谢谢")
    await phone.keyboard.press("Enter")
    await expect(phone.locator('[data-side="mine"]').get_by_text("谢谢")).to_be_visible()
    await phone.get_by_role("button", name="更多").click()
    await phone.get_by_role("button", name="删除联系人").click()
    await expect(phone.get_by_text("还没有聊天")).to_be_visible()
    assert wecom.sandbox.world.pairs_of_member("lina")[0].state == "left"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_member_answers_notes_and_opens_a_reminder(
    wecom: Wecom, open_page: OpenPage, screenshot: Screenshot, width: int, height: int
) -> None:
    wecom.app.pages["/sidebar/"] = lambda _: web.Response(text="<h1>sidebar</h1>", content_type="text/html")
    wecom.app.pages["/task/1"] = lambda _: web.Response(text="<h1>task</h1>", content_type="text/html")
    external_userid, _ = await wecom.scan()
    desk = await open_page(width=width, height=height)
    await desk.goto(f"{wecom.base}/desk?member=lina")
    await desk.get_by_text("陈小满").first.click()
    await desk.get_by_role("button", name="通过验证").click()
    await wecom.sandbox.say("lina", external_userid, "在吗", sender="customer")
    await expect(desk.locator('[data-screen="chat"]').get_by_text("在吗")).to_be_visible()
    await desk.get_by_label("输入消息").fill("在的")
    await desk.keyboard.press("Enter")
    await expect(desk.locator('[data-side="mine"]').get_by_text("在的")).to_be_visible()
    await desk.get_by_role("button", name="备注和标签").click()
    await desk.get_by_label("备注名").fill("小满 展会")
    await desk.get_by_role("button", name="保存").click()
    await expect(desk.get_by_role("heading", name="小满 展会")).to_be_visible()
    if width < 900:
        await desk.get_by_role("tab", name="侧边栏").click()
    await expect(desk.frame_locator("[data-sidebar]").get_by_text("sidebar")).to_be_visible()
    await screenshot(desk, f"sandbox-desk-{width}")

    url = f"{wecom.sandbox.config.public_url}/task/1"
    card = {"title": "今天有 1 位顾客要跟进", "description": "小满", "url": url}
    await wecom.call("message/send", touser="lina", agentid=AGENT_ID, msgtype="textcard", textcard=card)
    await desk.goto(f"{wecom.base}/desk?member=lina&with=app")
    await desk.locator(".app-card").click()
    await expect(desk.frame_locator("[data-browser-frame]").get_by_text("task")).to_be_visible()


async def test_the_clock_bar_moves_the_time_and_the_console_shows_what_happened(
    wecom: Wecom, open_page: OpenPage, screenshot: Screenshot
) -> None:
    before = wecom.clock.now()
    await wecom.scan()
    console = await open_page()
    await console.goto(f"{wecom.base}/")
    await console.get_by_role("button", name="+3 天").click()
    await expect(console.get_by_text("已快进：+3 天")).to_be_visible()
    assert (wecom.clock.now() - before).days == 3
    await console.get_by_text("每个回调发两遍").click()
    await expect(console.get_by_text("已生效")).to_be_visible()
    assert wecom.sandbox.faults.duplicate_callbacks
    await console.get_by_role("button", name="验证回调地址").click()
    await expect(console.get_by_text("回调地址验证通过")).to_be_visible()
    await expect(console.get_by_text("顾客添加员工（待确认）").first).to_be_visible()
    await screenshot(console, "sandbox-console")


async def test_the_other_name_of_this_machine_leads_home(wecom: Wecom) -> None:
    address = wecom.base.replace("127.0.0.1", "localhost") + "/phone?user=xiaoman"
    async with wecom.http.get(address, allow_redirects=False) as response:
        assert response.headers["Location"] == f"{wecom.base}/phone?user=xiaoman"
