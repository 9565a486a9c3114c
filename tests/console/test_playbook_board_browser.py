"""The board in a real browser: a playbook is built, rehearsed and published by mouse and keys alone, on any screen."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path as File
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from scrm.http import COOKIE
from scrm.sop.life import drafts
from scrm.sop.schema import Branch, Step
from scrm.sop.shelf import playbooks_of
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World
from web import build

Screenshot = Callable[[Page, str], Awaitable[Any]]
AXE = (build.MODULES / "axe-core" / "axe.min.js").read_text()
# One finding a line: what is wrong, and where.
FINDINGS = """async () => (await axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a",
  "wcag21aa", "wcag22aa", "best-practice"] })).violations.flatMap((rule) => rule.nodes.map(
  (node) => `${rule.id}: ${node.target.join(" ")} ${node.any.map((it) => it.message).join(" ")}`))"""
DORMANT = File("config/playbooks/templates/pb-14-dormant.yaml").read_text("utf-8")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


class Hand:
    """Somebody at the board; every act waits until it is kept."""

    def __init__(self, page: Page) -> None:
        self.page, self.panel = page, page.locator("#board-panel")

    async def saved(self) -> None:
        await expect(self.page.locator("[data-saved]")).to_contain_text("已保存")

    async def fill(self, field: Locator, text: str) -> None:
        await field.fill(text)
        await field.press("Tab")
        await self.saved()

    async def choose(self, label: str, option: str) -> None:
        await self.panel.get_by_label(label, exact=True).first.select_option(label=option)
        await self.saved()

    async def add(self, kind: str, within: str = "#board-story .timeline-board > .series > .adder.open") -> None:
        await self.page.locator(within).first.click()
        await self.page.get_by_role("dialog").get_by_role("button", name=kind).click()
        await self.saved()

    async def open(self, words: str) -> None:
        await self.page.locator("#board-story [data-show]").filter(has_text=words).first.click()
        await expect(self.panel.locator("form")).to_be_visible()

    async def titles(self) -> list[str]:
        return await self._titles.all_inner_texts()

    async def ends(self, title: str) -> None:
        """The last step is called so, once what was typed has come back from the server."""
        await expect(self._titles.last).to_have_text(re.compile(f"{title}$"))

    @property
    def _titles(self) -> Locator:
        return self.page.locator("#board-story .board-slot > .step > header h3")


async def axe(page: Page) -> list[str]:
    """What somebody who sees little, or uses no mouse, would stumble over."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE)
    found: list[str] = await page.evaluate(FINDINGS)
    return found


async def drag(page: Page, grip: Locator, to: Locator) -> None:
    """To the upper edge of a card, as a hand does it: not in one leap."""
    start, end = await grip.bounding_box(), await to.bounding_box()
    assert start is not None
    assert end is not None
    await page.mouse.move(start["x"] + 10, start["y"] + 10)
    await page.mouse.down()
    await page.mouse.move(end["x"] + 60, end["y"] + 6, steps=20)
    await page.wait_for_timeout(200)
    await page.mouse.up()


async def test_a_playbook_is_built_rehearsed_and_published_without_text(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot
) -> None:
    await world.add()
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page()
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/playbooks/new")
    await page.get_by_label("名称").first.fill("直播新客三步")
    await page.get_by_role("button", name="打开画板").click()
    hand = Hand(page)

    # Who comes in, what it is for, and how far it may go.
    await page.get_by_text("只要其中一部分").click()
    await hand.fill(hand.panel.get_by_label("渠道类型"), "直播")
    await hand.open("7 天内付款")
    await hand.fill(hand.panel.get_by_label("多久内", exact=True), "14")
    await expect(page.locator(".head-card").nth(1)).to_contain_text("14 天内付款")
    await hand.open("和全店一样")
    await hand.fill(hand.panel.get_by_label("最多主动联系几次"), "3")

    # Three steps on three days, and a branch with one of them.
    await hand.add("员工待办")
    await hand.fill(hand.panel.get_by_label("名称"), "问问用得怎么样")
    await hand.choose("怎样算时间", "第几天")
    await hand.fill(hand.panel.get_by_label("天数"), "1")
    await hand.panel.get_by_text("插入变量").click()
    text = hand.panel.get_by_label("话术", exact=True)
    await text.press("End")
    await hand.panel.get_by_role("button", name="最近商品").click()
    await page.keyboard.type("那一件")
    await text.press("Tab")
    await hand.saved()
    assert '{{ 最近商品 | 默认("那一件") }}' in await text.input_value()
    await hand.add("条件分支")
    await hand.add("企业群发", ".arm >> nth=1 >> .adder.open")
    await hand.fill(hand.panel.get_by_label("名称"), "送一份小清单")
    await hand.choose("怎样算时间", "第几天")
    await hand.fill(hand.panel.get_by_label("天数"), "3")
    await expect(page.locator("#board-state")).to_contain_text("可以发布")
    await screenshot(page, "board-built-1280")

    # What is wrong stands at its place, and goes with its mend; what was done is taken back.
    await hand.fill(hand.panel.get_by_label("话术", exact=True), "您好，{{ 客户昵称 }}")
    await expect(hand.panel.locator(".notes .wrong").first).to_contain_text("不能用“客户昵称”")
    await page.locator("[data-undo]").click()
    await expect(page.locator("#board-state")).to_contain_text("可以发布")
    await page.locator("[data-redo]").click()
    await expect(page.locator("#board-state")).to_contain_text("1 处要改")
    await hand.fill(hand.panel.get_by_label("话术", exact=True), "这周的小清单")
    await expect(page.locator("#board-state")).to_contain_text("可以发布")

    # By mouse to another day, by keys back again.
    slot = page.locator(".timeline-board > .series > .day-row > .day-cards > .board-slot")
    await drag(page, slot.nth(1).locator("[data-grip]").first, slot.nth(0).locator("article"))
    await expect(slot.first).to_contain_text("问问用得怎么样")
    await expect(page.locator(".timeline-board > .series > .day-row > .when b")).to_have_text(["第 0 天"])
    await hand.open("问问用得怎么样")
    await page.locator("#board-story [aria-current] [data-show]").focus()
    await page.keyboard.press("Alt+ArrowDown")
    await expect(slot.first).to_contain_text("打招呼")
    assert [title.split(" · ")[-1] for title in await hand.titles()][:2] == ["打招呼", "问问用得怎么样"]
    await hand.choose("怎样算时间", "第几天")
    await hand.fill(hand.panel.get_by_label("天数"), "1")
    await expect(page.locator(".timeline-board > .series > .day-row > .when b")).to_have_text(["第 0 天", "第 1 天"])

    # For whom, and what he would read.
    await page.get_by_placeholder("按哪位客户预览").fill("小满")
    await page.locator("#board-found").get_by_role("button", name="小满").click()
    await expect(page.locator("#board-preview")).to_contain_text("按 小满 预览")
    await expect(page.locator(".phone .bubble")).to_contain_text("我是Lina")
    await screenshot(page, "board-preview-1280")
    nameless = (
        "[...document.querySelectorAll('#board-panel :is(input, select, textarea):not([type=hidden], [hidden])')]"
    )
    nameless += ".filter((each) => !each.labels.length && !each.ariaLabel).map((each) => each.name)"
    assert await page.evaluate(nameless) == []

    await page.get_by_role("link", name="预演").click()
    await page.get_by_label("模拟人数").fill("40")
    await page.get_by_role("radio", name="模拟客户").check()
    await page.get_by_role("button", name="预演草稿").click()
    await page.get_by_text("可以离开这个页面").wait_for()
    await world.settle()
    await page.get_by_text("每一步").first.wait_for()
    await page.locator(".crumbs").get_by_role("link", name="直播新客三步").click()
    await page.get_by_role("link", name="发布").click()
    await page.get_by_role("button", name="发布第 1 版").click()
    await page.get_by_text("第 1 版 当前").wait_for()
    made = next(each for each in playbooks_of(world.services).current.values() if each.title == "直播新客三步")
    assert (made.trigger.where, made.guards.max_pushes, len(made.steps)) == ({"channel.kind": ("直播",)}, 3, 3)
    assert [type(part) for part in made.parts] == [Step, Step, Branch]


@pytest.mark.parametrize("width", [390, 768])
async def test_a_template_with_branches_is_read_and_changed_on_a_phone_and_a_tablet(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot, width: int
) -> None:
    now = world.clock.now()
    await world.services.db.write(lambda conn: drafts.save(conn, "pb-14-dormant", DORMANT, "chenlan", now=now))
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, height=844, phone=True)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/playbooks/pb-14-dormant/board")
    hand = Hand(page)
    await expect(page.locator(".arm")).to_have_count(4)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await screenshot(page, f"board-{width}")
    await hand.open("送一张无门槛券")
    await expect(hand.panel).to_be_in_viewport()
    await hand.fill(hand.panel.get_by_label("天数"), "20")
    await screenshot(page, f"board-panel-{width}")
    await hand.panel.get_by_role("button", name="完成").tap()
    await expect(hand.panel).not_to_be_in_viewport()
    await expect(page.locator(".arm").nth(1)).to_contain_text("第 20 天")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.get_by_role("link", name="文本").click()
    source = await page.locator("textarea[name=source]").input_value()
    assert source == DORMANT.replace("at: D+15 10:00-11:30", "at: D+20 10:00-11:30")


async def test_who_types_while_an_answer_is_under_way_loses_nothing(
    world: World, manager: Visitor, open_page: OpenPage
) -> None:
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page()
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/playbooks/new")
    await page.get_by_label("名称").first.fill("手快的人")
    await page.get_by_role("button", name="打开画板").click()
    hand, held, go = Hand(page), asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        held.set()
        await go.wait()
        await route.continue_()

    # The name of a step that is still on its way.
    await page.locator("#board-story .timeline-board > .series > .adder.open").first.click()
    await page.route("**/board/edit", hold)
    await page.get_by_role("dialog").get_by_role("button", name="员工待办").click()
    await held.wait()
    await page.keyboard.type("call")
    go.set()
    name = hand.panel.get_by_label("名称")
    await expect(name).to_have_value("call")
    await expect(name).to_be_focused()
    await page.keyboard.type(" back")
    await hand.ends("call back")

    # A field of a panel that is about to be made anew.
    held.clear()
    go.clear()
    await hand.panel.get_by_label("怎样算时间", exact=True).select_option(label="第几天")
    await held.wait()
    await name.click()
    await name.press("End")
    await page.keyboard.type(" soon")
    go.set()
    await expect(hand.panel.get_by_label("天数")).to_be_visible()
    await expect(name).to_have_value("call back soon")
    await page.keyboard.type("er")
    await hand.ends("call back sooner")


async def test_what_is_typed_outlives_a_closed_tab_and_a_broken_network(
    world: World, manager: Visitor, open_page: OpenPage
) -> None:
    now = world.clock.now()
    await world.services.db.write(lambda conn: drafts.save(conn, "pb-14-dormant", DORMANT, "chenlan", now=now))
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page()
    context = page.context
    await context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/playbooks/pb-14-dormant/board?show=about")
    await page.locator("#board-panel").get_by_label("说明").press_sequentially("关掉之前写的。")
    await page.close(run_before_unload=False)
    page = await context.new_page()

    async def first(route: Route) -> None:
        """What the closing page had sent arrives when the new one shows the text without it already."""
        said = DORMANT.replace("title: 沉睡唤醒", "title: 沉睡的客户", 1)
        await world.services.db.write(lambda conn: drafts.save(conn, "pb-14-dormant", said, "chenlan", now=now))
        await route.continue_()

    await page.route("**/board/edit", first, times=1)
    await page.goto(base + "/console/playbooks/pb-14-dormant/board?show=about")
    await expect(page.locator("#board-text")).to_have_value(re.compile("沉睡的客户[^#]*关掉之前写的"))

    await page.goto(base + "/console/playbooks/pb-14-dormant/edit")
    await page.route("**/edit/check", lambda route: route.abort())
    area = page.locator("textarea[name=source]")
    await area.press("Control+Home")
    await page.keyboard.type("# 断网时写的\n")
    await page.reload()
    await expect(area).not_to_have_value(re.compile("断网时写的"))
    await page.unroute("**/edit/check")
    await page.get_by_role("button", name="恢复").click()
    await expect(area).to_have_value(re.compile("# 断网时写的"))
    await expect(page.locator("#problems")).to_contain_text("草稿已保存")
    await page.reload()
    await expect(area).to_have_value(re.compile("# 断网时写的"))
    await expect(page.get_by_text("上次在这里写的还没有保存")).to_have_count(0)


class Keys:
    """Somebody without a mouse: whatever is used is reached with Tab; what it takes is counted in seconds."""

    def __init__(self, page: Page) -> None:
        self.page, self.seconds = page, 0.0

    async def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            await self.page.keyboard.press(key)
        self.seconds += 0.25 * times

    async def reach(self, place: Locator, most: int = 90) -> Locator:
        await expect(place).to_be_attached()
        for _ in range(most):
            if await place.evaluate("each => each === document.activeElement"):
                return place
            await self.press("Tab")
        raise AssertionError(f"{place} is not reached with Tab")

    async def open(self, place: Locator, panel: Locator) -> None:
        """What a card stands for comes into the panel, and the panel has the focus."""
        await self.reach(place, 200)
        await self.press("Enter")
        await expect(panel).to_be_focused()

    async def type(self, place: Locator, text: str) -> None:
        await self.reach(place)
        await self.press("Control+A")
        await self.page.keyboard.type(text)
        self.seconds += 0.4 * len(text)
        await self.press("Tab")

    async def choose(self, place: Locator, option: str) -> None:
        """Down or up to the one; what is passed on the way is not taken."""
        await self.reach(place)
        words = "(each, words) => [...each.options].findIndex((one) => one.label === words) - each.selectedIndex"
        by = await place.evaluate(words, option)
        assert await place.locator("option").filter(has_text=option).count()
        await self.press("ArrowDown" if by > 0 else "ArrowUp", abs(by))
        await expect(self.page.locator("[data-saved]")).to_contain_text("已保存")

    async def skip_to_content(self) -> None:
        await self.press("Tab")
        await self.press("Enter")


async def test_a_playbook_is_built_rehearsed_and_published_with_keys_alone(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot
) -> None:
    await world.add()
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page()
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + "/console/playbooks/new")
    keys, panel = Keys(page), page.locator("#board-panel")

    await keys.skip_to_content()
    await keys.type(page.get_by_label("名称").first, "退款回访")
    await keys.reach(page.get_by_role("button", name="打开画板"))
    await keys.press("Enter")
    await page.wait_for_url("**/board")
    await keys.skip_to_content()
    await keys.open(page.locator("[data-show=trigger]").first, panel)
    await keys.choose(panel.get_by_label("触发事件"), "退款成功")
    await expect(page.locator(".head-card").first).to_contain_text("退款成功")
    await keys.reach(panel.get_by_role("button", name="＋ 条件", exact=True))
    await keys.press("Enter")
    await page.keyboard.type("已付款订单数")
    await expect(page.locator(".picker [role=option]").first).to_contain_text("已付款订单数")
    await keys.press("Enter")
    await expect(page.locator(".head-card").first).to_contain_text("仅当 已付款订单数")
    assert not await axe(page)

    # A second step behind the first one, on another day, with a text of its own; the first one goes.
    await keys.reach(page.locator("#board-story .timeline-board > .series > .adder.open"))
    await keys.press("Enter")
    await keys.reach(page.get_by_role("dialog").get_by_role("button", name="员工待办"))
    await keys.press("Enter")
    await expect(panel.get_by_label("名称")).to_be_focused()
    await keys.type(panel.get_by_label("名称"), "问问还有什么能帮")
    await keys.choose(panel.get_by_label("怎样算时间"), "第几天")
    await keys.type(panel.get_by_label("天数"), "2")
    await keys.type(panel.get_by_label("话术", exact=True), "您好，退款到账了吗？")
    await expect(page.locator(".day-row .when b")).to_have_text(["第 0 天", "第 2 天"])
    assert not await axe(page)
    await keys.open(page.locator(".board-slot [data-show]").filter(has_text="打招呼"), panel)
    await keys.reach(panel.get_by_role("button", name="删除", exact=True))
    await keys.press("Enter")
    await expect(page.locator(".day-row .when b")).to_have_text(["第 2 天"])

    # A test, played: without a paid order nothing is sent.
    await keys.open(page.locator(".head-links [data-show=tests]"), panel)
    await keys.reach(panel.get_by_role("button", name="＋ 加一个测试"))
    await keys.press("Enter")
    await keys.reach(panel.get_by_role("button", name="跑一遍测试"), 200)
    await keys.press("Enter")
    await expect(panel.locator(".tests-bar")).to_contain_text("都通过", timeout=30_000)
    assert not await axe(page)
    await screenshot(page, "board-tests-1280")
    await keys.reach(page.get_by_role("link", name="预演"), 200)
    await keys.press("Enter")
    await page.wait_for_url("**/rehearsal")
    await keys.skip_to_content()
    await keys.reach(page.get_by_role("button", name="预演草稿"))
    await keys.press("Enter")
    await page.get_by_text("可以离开这个页面").wait_for()
    await world.settle()
    await page.get_by_text("每一步").first.wait_for()
    await keys.reach(page.locator(".crumbs").get_by_role("link", name="退款回访"), 200)
    await keys.press("Enter")
    await page.wait_for_url("**/board")
    await keys.reach(page.get_by_role("link", name="发布"))
    await keys.press("Enter")
    await page.wait_for_url("**/review")
    await expect(page.get_by_text("1 个都通过")).to_be_visible(timeout=30_000)
    assert not await axe(page)
    await keys.skip_to_content()
    await keys.reach(page.get_by_role("button", name="发布第 1 版"))
    await keys.press("Enter")
    await page.get_by_text("第 1 版 当前").wait_for()
    made = next(each for each in playbooks_of(world.services).current.values() if each.title == "退款回访")
    assert (made.trigger.event, [step.title for step in made.steps]) == ("refund.done", ["问问还有什么能帮"])
    assert keys.seconds < 180
