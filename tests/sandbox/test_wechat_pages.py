"""The phone's tabs 公众号 and 微信客服 in a real browser."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from scrm.sandbox.talking import add_kf_account
from tests.fixtures_browser import OpenPage
from tests.sandbox.conftest import Wecom

Screenshot = Callable[[Page, str], Awaitable[Path]]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_customer_finds_customer_service_beside_the_chats_and_writes(
    wecom: Wecom, open_page: OpenPage, screenshot: Screenshot, width: int, height: int
) -> None:
    add_kf_account(wecom.sandbox, "晴屿客服", ["lina"])
    phone = await open_page(width=width, height=height, phone=width < 500)
    await phone.goto(f"{wecom.base}/phone?user=xiaoman")
    await phone.get_by_role("link", name="微信客服").click()
    await phone.get_by_role("button", name="从客服链接进入").click()
    await phone.get_by_label("发消息").fill("怎么退货")
    await phone.keyboard.press("Enter")
    await expect(phone.locator('[data-side="mine"]').get_by_text("怎么退货")).to_be_visible()
    assert await phone.evaluate("document.documentElement.scrollWidth") <= width
    await screenshot(phone, f"sandbox-kf-{width}")
    await phone.get_by_role("link", name="公众号").click()
    await expect(phone.get_by_text("沙箱没有配置公众号")).to_be_visible()
