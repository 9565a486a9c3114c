"""What a member writes beside a chat, in a real browser: three taps, nothing lost, the focus where it was."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import Connection

from scrm.http import COOKIE
from scrm.profiles.models import corp_tag, corp_tag_group, follow_user_tag, person
from scrm.profiles.notes import note
from scrm.sop.models import task
from tests.fakes.wecom import FakeWeCom
from tests.fixtures_browser import OpenPage
from tests.sidebar.conftest import Member
from tests.world import XIAOMAN, World

Screenshot = Callable[[Page, str], Awaitable[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def page(world: World, lina: Member, wanghao: Member, wecom: FakeWeCom, open_page: OpenPage) -> Page:
    follow = wecom.contacts[XIAOMAN]["follow_user"]
    follow[0] |= {"remark_mobiles": ["13800136620"], "description": "晚上八点后才有空"}
    follow.append({"userid": "wanghao", "createtime": 1772416900, "add_way": 1})
    await world.add()
    groups = {"肤质": ("油皮", "干皮", "混合皮", "敏感肌"), "兴趣": ("防晒", "口红", "香水", "精华", "直播常客")}

    def make(conn: Connection) -> None:
        for group, names in groups.items():
            for name in names:
                values = {"tag_id": f"et{name}", "tag_name": name, "group_id": f"g{group}", "group_name": group}
                conn.execute(corp_tag.insert().values(**values))
        conn.execute(corp_tag_group.insert().values(group_id="g肤质", is_exclusive=True))

    await world.services.db.write(make)
    page = await open_page(width=360, height=740)
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": lina.token, "url": base}])
    await page.goto(f"{base}/sidebar/contacts/{XIAOMAN}")
    return page


async def test_tags_stage_and_refusals_in_a_few_taps(world: World, page: Page, screenshot: Screenshot) -> None:
    await page.get_by_role("button", name="＋ 标签").click()
    sheet = page.locator("#sheet")
    await expect(sheet.get_by_role("heading", name="标签")).to_be_visible()
    for name in ("防晒", "油皮", "干皮"):
        await sheet.get_by_role("button", name=name).click()
        await expect(sheet.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    await expect(sheet.get_by_role("button", name="油皮")).to_have_attribute("aria-pressed", "false")
    await expect(sheet.get_by_role("button", name="干皮")).to_be_focused()
    await screenshot(page, "sidebar-tags")
    await sheet.get_by_label("搜索标签").fill("香")
    await expect(sheet.get_by_role("button", name="口红")).to_have_count(0)
    await page.keyboard.press("Escape")  # empties the search
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="＋ 标签")).to_be_focused()
    await expect(page.locator("#head-tags").get_by_text("干皮")).to_be_visible()
    await page.get_by_role("button", name="撤销").click()  # the last tap: 干皮 instead of 油皮
    await expect(page.locator("#head-tags").get_by_text("油皮")).to_be_visible()
    await world.pass_time(seconds=5)
    assert {row.tag_name for row in await world.rows(follow_user_tag)} >= {"油皮", "防晒"}

    await page.locator("#head-stage").click()
    await screenshot(page, "sidebar-stage")
    await sheet.get_by_role("button", name="意向").click()
    await expect(page.locator("#head-stage")).to_contain_text("意向")
    await expect(page.locator("#head-stage")).to_be_focused()
    await expect(sheet).to_be_hidden()

    await page.get_by_role("button", name="免打扰").first.click()
    await sheet.get_by_role("switch", name="不收推销").click()
    await expect(sheet.get_by_role("switch", name="不收推销")).to_be_checked()
    await screenshot(page, "sidebar-optout")
    await page.keyboard.press("Escape")
    await expect(page.locator("#refusals")).to_contain_text("不收推销")
    (row,) = await world.rows(person)
    assert (row.stage, row.optout) == ("意向", {"promo": True})


async def test_notes_promises_and_a_number(world: World, page: Page, screenshot: Screenshot) -> None:
    sheet = page.locator("#sheet")
    await page.get_by_role("button", name="写跟进").first.click()
    await expect(sheet.get_by_label("跟进内容")).to_be_focused()
    await sheet.get_by_role("radio", name="电话").check()
    await page.route("**/notes", lambda route: route.abort())
    await sheet.get_by_label("跟进内容").fill("想要 02 色号，下周发工资再买。\n脸颊容易泛红，别推酸类。")
    await screenshot(page, "sidebar-note-form")
    await sheet.get_by_role("button", name="保存").click()
    await expect(page.locator(".toast")).to_be_visible()
    await expect(sheet.get_by_label("跟进内容")).to_have_value(
        r"想要 02 色号，下周发工资再买。" + "\n脸颊容易泛红，别推酸类。"
    )
    await page.unroute("**/notes")
    await sheet.get_by_role("button", name="保存").click()
    await expect(sheet).to_be_hidden()
    await expect(page.locator("#notes")).to_contain_text("02 色号")
    await expect(page.locator("#undo")).to_contain_text("已记下跟进")
    await screenshot(page, "sidebar-notes")
    await page.get_by_role("button", name="撤销").click()
    await expect(page.locator("#notes")).not_to_contain_text("02 色号")
    (row,) = await world.rows(note)
    assert row.deleted_at is not None

    await page.get_by_role("button", name="记约定").click()
    await sheet.get_by_label("答应了什么").fill("给她找到 02 色号")
    await expect(sheet.locator("input[type=date]")).to_be_hidden()
    await sheet.get_by_role("radio", name="自选时间").check()
    await sheet.locator("input[type=time]").fill("08:30")
    await screenshot(page, "sidebar-promise-own-time")
    await sheet.get_by_role("radio", name="明天").check()
    await expect(sheet.locator("input[type=time]")).to_be_hidden()
    await screenshot(page, "sidebar-promise-form")
    await sheet.get_by_role("button", name="记下").click()
    await expect(sheet).to_be_hidden()
    (row,) = await world.rows(task, task.c.kind == "promise")
    assert row.due_at.astimezone(world.services.settings.shop.zone).hour == 18
    await world.pass_time(hours=30)
    await page.reload()
    await expect(page.locator("#now")).to_contain_text("你答应客户的事")
    await screenshot(page, "sidebar-promise")
    await page.get_by_role("button", name="完成", exact=True).click()
    await expect(page.locator("#undo")).to_contain_text("已完成")

    await page.locator("#phone-row").click()
    await expect(sheet).to_contain_text("138****6620")
    assert "13800136620" not in await page.content()
    await sheet.get_by_role("button", name="查看 138****6620 的完整号码").click()
    await expect(sheet.get_by_role("link", name="拨打")).to_have_attribute("href", "tel:+8613800136620")
    await screenshot(page, "sidebar-phones")
    await page.keyboard.press("Escape")
    await page.locator("#remark-row").click()
    await screenshot(page, "sidebar-remark")
    await page.keyboard.press("Escape")
    await page.locator("#colleagues-row").click()
    await expect(sheet).to_contain_text("王皓")
    await screenshot(page, "sidebar-colleagues")
