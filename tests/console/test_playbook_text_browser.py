"""The editor of a playbook's text in a real browser: problems beside their lines as one types, and the keyboard."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from scrm.http import COOKIE
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World

OF = "/console/playbooks/new-customer"
Screenshot = Callable[[Page, str], Awaitable[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.mark.parametrize("width", [390, 1280])
async def test_a_text_is_mended_reviewed_and_published(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot, width: int
) -> None:
    await world.add()
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + f"{OF}/edit")
    area = page.locator("textarea[name=source]")
    good = await area.input_value()
    await area.fill(good.replace("at: T0", "at: T9", 1))
    await expect(page.locator("#problems")).to_contain_text("看不懂时间“T9”")
    await expect(page.locator(".gutter .wrong")).to_have_count(1)
    await page.locator("#problems [data-line]").first.click()
    assert "T9" in await area.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    await screenshot(page, f"playbook-edit-{width}")
    await area.fill(good.replace("title: ", "title: 春季", 1).replace("D+3", "D+4", 1))
    await expect(page.locator("#problems")).to_contain_text("可以发布")
    await area.press("End")
    await area.press("Tab")
    assert await area.evaluate("area => document.activeElement === area")
    await area.press("Escape")
    await area.press("Tab")
    assert not await area.evaluate("area => document.activeElement === area")
    await page.get_by_role("button", name="下一步").click()
    await page.get_by_text("发布第 2 版").wait_for()
    await screenshot(page, f"playbook-review-{width}")
    await page.get_by_role("button", name="发布第 2 版").click()
    await page.get_by_text("还有 1 位客户在旧版本中").wait_for()
    await page.get_by_role("button", name="暂停", exact=True).click()
    await page.get_by_text("在途客户停在原地").wait_for()
    await screenshot(page, f"playbook-pause-{width}")
    await page.keyboard.press("Escape")
    await screenshot(page, f"playbook-versions-{width}")
    for path in ("versions/diff?from=1&to=2", "migrate"):
        await page.goto(base + f"{OF}/{path}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await screenshot(page, f"playbook-{path.split('?')[0].replace('/', '-')}-{width}")
    await page.goto(base + "/console/playbooks/new")
    await screenshot(page, f"playbook-new-{width}")
    await page.goto(base + OF)
    await screenshot(page, f"playbook-page-{width}")
