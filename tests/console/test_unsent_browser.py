"""What somebody writes in the console outlives a lost login, is sent once, and what fails is told, in a real browser."""

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import func, select

from scrm import sessions
from scrm.contact_ways.models import contact_way
from scrm.http import COOKIE
from tests.console.conftest import SignIn, Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World

NEW = "/console/contact-ways/new"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


@pytest.fixture
def base(world: World) -> str:
    return str(world.client.make_url("")).rstrip("/")


async def enter(page: Page, base: str, visitor: Visitor) -> None:
    await page.context.add_cookies([{"name": COOKIE, "value": visitor.token, "url": base}])


async def write(page: Page, base: str) -> None:
    await page.goto(base + NEW)
    await page.get_by_label("渠道名称").fill("三月直播间")
    await page.get_by_label("客户扫码后直接成为好友").uncheck()


async def expect_written(page: Page) -> None:
    await expect(page.get_by_text("刚才填的内容已经填回来了，还没有提交")).to_be_visible()
    await expect(page.get_by_label("渠道名称")).to_have_value("三月直播间")
    await expect(page.get_by_label("客户扫码后直接成为好友")).not_to_be_checked()
    assert "unsent" not in page.url


async def test_what_was_written_is_there_again_after_the_login_was_over(
    world: World, base: str, manager: Visitor, sign_in: SignIn, open_page: OpenPage
) -> None:
    page = await open_page()
    await enter(page, base, manager)
    await write(page, base)
    await world.services.db.write(sessions.close_session, manager.token)
    await page.get_by_role("button", name="创建").click()
    again = page.get_by_role("link", name="重新登录，接着填")
    assert str(await again.get_attribute("href")).startswith("/login?next=/console/contact-ways/new%3Funsent%3D1")
    await enter(page, base, await sign_in("chenlan", "陈岚", "manager"))
    await page.goto(base + NEW + "?unsent=1")
    await expect_written(page)
    await page.reload()
    await expect(page.get_by_label("渠道名称")).to_have_value("")


async def test_what_was_written_is_not_shown_to_another_one_at_the_same_screen(
    base: str, manager: Visitor, sign_in: SignIn, open_page: OpenPage
) -> None:
    page = await open_page()
    await enter(page, base, manager)
    await write(page, base)
    await enter(page, base, await sign_in("boss", "周总", "administrator"))
    await page.get_by_role("button", name="创建").click()
    await page.get_by_role("link", name="回到刚才的页面").click()
    await expect(page.get_by_label("渠道名称")).to_have_value("")
    await expect(page.get_by_text("刚才填的内容已经填回来了")).to_have_count(0)


async def test_a_page_of_an_earlier_login_is_filled_in_again_and_sent(
    world: World, base: str, manager: Visitor, sign_in: SignIn, open_page: OpenPage
) -> None:
    await manager.world.add()
    page = await open_page()
    await enter(page, base, manager)
    await write(page, base)
    await enter(page, base, await sign_in("chenlan", "陈岚", "manager"))
    await page.get_by_role("button", name="创建").click()
    await page.get_by_role("link", name="回到刚才的页面").click()
    await expect_written(page)
    await page.locator(".picks input").first.check()
    # Twice in one breath, as a finger that trembles.
    await page.get_by_role("button", name="创建").evaluate(
        "it => { it.form.requestSubmit(); it.form.requestSubmit(); }"
    )
    await page.wait_for_url(lambda url: not url.endswith("/new"))
    titled = select(func.count()).select_from(contact_way).where(contact_way.c.title == "三月直播间")
    assert await world.services.db.read(lambda conn: conn.execute(titled).scalar_one()) == 1


async def test_a_list_that_cannot_be_read_says_so_and_stays(
    world: World, base: str, manager: Visitor, open_page: OpenPage
) -> None:
    await world.add()
    page = await open_page()
    await enter(page, base, manager)
    await page.goto(base + "/console/customers")
    await world.services.db.write(sessions.close_session, manager.token)
    await page.get_by_role("searchbox", name="在列表里查找").click()
    await page.keyboard.insert_text("查无此人")
    failure = page.get_by_role("alert").filter(has_text="登录已过期")
    await expect(failure.get_by_role("link", name="重新登录")).to_be_visible()
    await expect(page.get_by_role("link", name="小满")).to_be_visible()
    await failure.get_by_role("button", name="知道了").click()
    await expect(failure).to_have_count(0)
