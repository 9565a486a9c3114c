"""The builder of conditions in a real browser: a segment is built by mouse and by keys, counted while one types."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from sqlalchemy import insert

from scrm.http import COOKIE
from scrm.profiles.models import corp_tag, person, person_stat
from scrm.segments.models import segment
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World

Screenshot = Callable[[Page, str], Awaitable[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


async def add_buyers(world: World, many: int = 12) -> None:
    def add(conn: Any) -> None:
        now = world.services.clock.now()
        for number in range(901, 901 + many):
            orders = number % 4
            conn.execute(insert(person).values(id=number, name=f"买家{number}", created_at=now))
            conn.execute(
                insert(person_stat).values(
                    person_id=number, paid_orders=orders, orders=orders, paid_fen=orders * 12_345
                )
            )
        conn.execute(insert(corp_tag).values(tag_id="t1", tag_name="油皮", group_name="肤质", group_id="g1"))

    await world.services.db.write(add)


async def open_form(world: World, manager: Visitor, page: Page, path: str = "/console/segments/new") -> None:
    base = str(world.client.make_url("")).rstrip("/")
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + path)
    await expect(page.locator(".cond-board")).to_be_visible()


async def tree_of(page: Page) -> Any:
    kept = await page.locator("condition-builder textarea").first.input_value()
    return json.loads(kept) if kept else None


async def ask(page: Page, add: Locator, words: str) -> None:
    """Open the list of conditions, search, and take the first that is found."""
    await add.click()
    await page.get_by_role("combobox", name="条件", exact=True).fill(words)
    await expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text(words)
    await page.keyboard.press("Enter")


@pytest.mark.parametrize("width", [390, 1280])
async def test_a_segment_is_built_nested_counted_and_saved(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot, width: int
) -> None:
    await add_buyers(world)
    # Numbers go so far that an estimate comes first, and the exact number after it.
    far = insert(person).values(id=300_000, name="新来的", created_at=world.clock.now())
    await world.services.db.write(lambda conn: conn.execute(far))
    page = await open_page(width=width, height=900, phone=width < 500)
    await open_form(world, manager, page)
    await page.get_by_label("名称").fill("买过两次的")
    more = page.get_by_role("button", name="＋ 条件", exact=True)
    await ask(page, more, "已付款订单数")
    await page.get_by_role("textbox", name="值").fill("2")
    await expect(page.locator("#found")).to_contain_text("6 位客户符合")
    await page.get_by_role("textbox", name="值").fill("两")
    await expect(page.locator(".cond-row .wrong")).to_contain_text("要和数字比较")
    await page.get_by_role("textbox", name="值").fill("3")
    await expect(page.locator("#found")).to_contain_text("3 位客户符合")
    await expect(page.locator(".cond-board .wrong")).to_have_count(0)

    # A group of its own, with a tag that is picked and an event that is counted.
    await ask(page, page.get_by_role("button", name="＋ 条件组").first, "累计实付（元）")
    inner = page.locator(".cond-group .cond-group")
    await inner.get_by_role("textbox", name="值").fill("370")
    await ask(page, inner.get_by_role("button", name="＋ 条件", exact=True), "有标签")
    await inner.get_by_role("button", name="标签：未选").click()
    await page.get_by_role("option", name="油皮").click()
    await ask(page, inner.get_by_role("button", name="＋ 条件", exact=True), "签收")
    await inner.get_by_label("次数", exact=True).select_option(label="至少")
    await expect(page.locator("#found")).to_contain_text("3 位客户符合")
    assert await tree_of(page) == {
        "all": [
            {"field": "person.paid_orders", "op": "gte", "value": 3},
            {
                "any": [
                    {"field": "person.paid", "op": "gte", "value": 370},
                    {"tag": "油皮"},
                    {"event": "order.delivered", "within": "30d", "count": {"gte": 1}},
                ]
            },
        ]
    }
    await screenshot(page, f"segment-builder-{width}")
    if width < 500:
        await more.first.click()
        await page.wait_for_timeout(300)
        await screenshot(page, "segment-picker-390")
        await page.keyboard.press("Escape")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="保存").click()
    await page.wait_for_url("**/console/segments/seg-*")
    assert [row.title for row in await world.rows(segment)] == ["买过两次的"]


async def test_keys_move_group_and_take_back_and_the_text_says_the_same(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot
) -> None:
    await add_buyers(world)
    page = await open_page(height=1000)
    await open_form(world, manager, page)
    await page.get_by_role("button", name="文字").click()
    text = page.get_by_label("条件的文字")
    await text.fill(
        "all:\n  - {tag: 油皮}\n  - not: {segment: 停发名单}\n  - {coupon: {state: unused}, odd: 1}\n  - tag: a: b"
    )
    await expect(page.locator(".cond-board .wrong").first).to_contain_text("第 5 行")
    await text.fill("all:\n  - {tag: 油皮}\n  - not: {segment: 停发名单}\n  - {field: person.orders, op: eq, value: 0}")
    await expect(page.locator(".cond-row")).to_have_count(3)
    tag, stop, orders = (
        {"tag": "油皮"},
        {"not": {"segment": "停发名单"}},
        {"field": "person.orders", "op": "eq", "value": 0},
    )
    assert await tree_of(page) == {"all": [tag, stop, orders]}
    await expect(page.locator("#found")).to_contain_text("0 位客户符合")

    # Only by keys: up twice, into a group, another joins it, out again, and all of it back.
    await page.locator(".cond-row").nth(2).locator("select").first.focus()
    await page.keyboard.press("Alt+ArrowUp")
    await page.keyboard.press("Alt+ArrowUp")
    assert await tree_of(page) == {"all": [orders, tag, stop]}
    await page.keyboard.press("Alt+ArrowRight")
    assert await tree_of(page) == {"all": [{"any": [orders]}, tag, stop]}
    await page.locator(".cond-row").nth(1).get_by_role("button", name="这一条的操作").focus()
    await page.keyboard.press("Enter")
    await screenshot(page, "segment-menu-1280")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    assert await tree_of(page) == {"all": [{"any": [orders, tag]}, stop]}
    await expect(text).to_have_value(
        "all:\n  - any:\n      - {field: person.orders, op: eq, value: 0}\n      - {tag: 油皮}\n  - {not: {segment: 停发名单}}\n"
    )
    await page.keyboard.press("Alt+ArrowLeft")
    assert await tree_of(page) == {"all": [{"any": [orders]}, tag, stop]}
    await page.keyboard.press("Alt+Delete")
    assert await tree_of(page) == {"all": [{"any": [orders]}, stop]}
    for _ in range(6):
        await page.keyboard.press("Control+z")
    assert await tree_of(page) == {"all": [tag, stop, orders]}
    await page.keyboard.press("Control+Shift+z")
    assert await tree_of(page) == {"all": [tag, orders, stop]}

    # By hand: the last goes to the first place.
    grip, first = page.locator(".cond-row .grip").nth(2), page.locator(".cond-row").first
    start, end = await grip.bounding_box(), await first.bounding_box()
    assert start is not None
    assert end is not None
    await page.mouse.move(start["x"] + 8, start["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(end["x"] + 40, end["y"] + 4, steps=15)
    await page.wait_for_timeout(200)
    await page.mouse.up()
    await expect(page.locator("condition-builder textarea").first).to_have_value(
        json.dumps({"all": [stop, tag, orders]}, ensure_ascii=False, separators=(",", ":"))
    )
    await screenshot(page, "segment-text-1280")


async def test_what_the_builder_has_no_control_for_stays_as_it_was_written(
    world: World, manager: Visitor, open_page: OpenPage, screenshot: Screenshot
) -> None:
    await add_buyers(world)
    tree = {
        "any": [
            {"not": {"not": {"all": [{"tag": "油皮"}]}}},
            {
                "event": "order.paid",
                "within": "1h30m",
                "count": {"gte": 2},
                "where": {"channel": ["抖音", "淘宝"], "shop": "a"},
            },
            {"bought": {"sku": ["A1", "A2"], "title": "面霜"}, "count": {"eq": 0}},
            {"coupon": {"of": "new72h", "state": "unused", "expires_within": "7d"}},
            {"field": "field.birthday", "op": "month", "value": "this"},
            {"field": "person.first_paid_at", "op": "gte", "value": "2026-03-01T00:00+08:00"},
            {"field": "contact.gender", "op": "in", "value": ["男", "女"]},
            {"event": "custom.lottery_won"},
            {"field": "follow.days", "value": 7},
            {"radar_opens_gte": 2, "within": "30d", "content": ["a", "b"]},
            {"pushed": {"gte": 3}, "within": "7d"},
            {"no_reply": True},
            {"flag": "optout.promo"},
            {"nobody": {"knows": [1, 2.5, None, True]}},
            {"tag": "油皮", "all": []},
        ]
    }
    page = await open_page(height=1200)
    await open_form(world, manager, page)
    await page.locator("condition-builder textarea").first.evaluate(
        "(kept, said) => { const old = kept.parentElement, made = old.cloneNode(false);"
        " made.append(kept); kept.value = said; old.replaceWith(made); }",
        json.dumps(tree),
    )
    await expect(page.locator(".cond-row")).to_have_count(15)
    await screenshot(page, "segment-every-leaf-1280")
    # Something is changed and taken back: then the builder has written the whole of it anew.
    await page.locator(".cond-row").nth(11).get_by_role("button", name="除外", exact=True).click()
    changed = await tree_of(page)
    assert changed["any"].pop(11) == {"not": {"no_reply": True}}
    assert changed["any"] == tree["any"][:11] + tree["any"][12:]
