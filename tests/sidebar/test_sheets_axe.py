"""Every sheet and inner form of a customer's page, by day and by night: axe finds nothing, the focus goes back."""

import re

from playwright.async_api import Locator, Page, expect

from tests.sidebar.conftest import Member
from tests.sidebar.test_axe import Open, busy, database_url, findings, open_sidebar, sideways, too_small
from tests.sidebar.test_contact import order, save
from tests.sidebar.test_scripts import write
from tests.sidebar.test_writing import make_library
from tests.world import XIAOMAN, World

__all__ = ["busy", "database_url", "open_sidebar"]

QUICK = ("写跟进", "记约定", "改备注", "免打扰")
ROWS = ("head-stage", "add-tag", "phone-row", "colleagues-row")
OF_TASK = ("推迟", "跳过", "为什么")


async def test_every_sheet_can_be_read_by_day_and_night_and_gives_the_focus_back(
    busy: World, lina: Member, open_sidebar: Open
) -> None:
    await make_library(busy)
    await write(busy, "防晒怎么补涂", "{{ 客户昵称 }}，出汗或两小时后补一次。")
    now = busy.clock.now()
    await save(busy, order("3981-0277", 2, now), order("3981-9986", 1, now, buyer_ref={}))
    page = await open_sidebar()
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    await page.wait_for_load_state("networkidle")
    wrong: list[str] = []
    openers = [page.locator(".quick").get_by_role("button", name=name) for name in QUICK]
    openers += [page.locator(f"#{name}") for name in ROWS]
    openers += [page.locator(".task-more").get_by_role("button", name=name) for name in OF_TASK]
    for opener in openers:
        await look_into(wrong, page, opener)
    await page.get_by_role("tab", name="话术").click()
    script = page.locator(".script-open").first
    await look_into(wrong, page, script)
    # What opens in its place.
    await page.get_by_role("tab", name="订单").click()
    await page.get_by_label("订单号、尾号或手机号").fill("9986")
    await page.get_by_role("button", name="查找").click()
    await expect(page.locator(".bind-found")).to_be_visible()
    await note(wrong, page, "binding an order")
    await page.get_by_role("tab", name="画像").click()
    await page.get_by_text("开始 SOP").click()
    await page.get_by_role("button", name="护肤建议跟进").click()
    await expect(page.locator(".start-preview")).to_contain_text("问适应得怎么样")
    await note(wrong, page, "starting a playbook")
    await page.locator(".start-acts").get_by_role("button", name="开始").click()
    await expect(page.locator("#starts")).to_contain_text("“护肤建议跟进”已开始")
    await note(wrong, page, "a playbook that has begun")
    await page.locator("#starts").get_by_role("button", name="撤销").click()
    await expect(page.locator("#starts")).not_to_contain_text("已开始")
    assert wrong == [], "\n".join(wrong)


async def look_into(wrong: list[str], page: Page, opener: Locator) -> None:
    await opener.focus()
    await page.keyboard.press("Enter")
    sheet = page.locator("dialog[open]")
    await expect(sheet).to_be_visible()
    await expect(sheet.locator(".sheet-wait")).to_have_count(0)
    await page.wait_for_load_state("networkidle")
    title = (await sheet.locator("h2").first.inner_text()).strip()
    await note(wrong, page, title)
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    if not await opener.evaluate("it => it === document.activeElement"):
        wrong.append(f"{title}: the focus is lost")


async def note(wrong: list[str], page: Page, where: str) -> None:
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        wrong += [f"{where}, {scheme}: {finding}" for finding in await findings(page)]
    wrong += [f"{where}: {small}" for small in await too_small(page) if not re.search(r"hidden", small)]
    if by := await sideways(page):
        wrong.append(f"{where}: {by}px wider than the panel")
