"""The picture in a real browser: rows lead to their place, the tab stays, a brake takes the button away."""

from playwright.async_api import Route, expect

from tests.sidebar.test_browser import Beside, base, beside, database_url
from tests.sidebar.test_contact import order, save
from tests.sidebar.test_picture import tell
from tests.world import ANING, XIAOMAN, World

__all__ = ["base", "beside", "database_url"]

# How far things jumped that nobody had touched (CLS).
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


async def test_rows_lead_to_their_place_and_the_tab_stays(world: World, beside: Beside) -> None:
    await save(world, order("b-1", 1, world.clock.now(), shipments=[], status="paid", shipped_at=None))
    await tell(world, "talk.noted")
    page = await beside(f"/sidebar/contacts/{XIAOMAN}", contact=XIAOMAN)
    row = page.get_by_label("正在进行").get_by_role("button", name="新人券")
    await row.click()
    await expect(page.locator(".coupon.is-led-to")).to_be_visible()
    await page.get_by_role("tab", name="动态").click()
    chip = page.get_by_role("button", name="跟进", exact=True)
    await chip.click()
    await expect(chip).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#timeline")).to_contain_text("标记客户在等回复")
    await expect(page.locator("#timeline")).not_to_contain_text("添加了")
    # The client throws web views away; a new one stands where the old one stood.
    again = await page.context.new_page()
    await again.goto(page.url)
    await expect(again.get_by_role("tab", name="动态")).to_have_attribute("aria-selected", "true")
    await expect(again.locator("#panel-timeline")).to_be_visible()
    await expect(again.locator("#panel-profile")).to_be_hidden()


async def test_what_the_guards_would_refuse_takes_the_button_away(world: World, beside: Beside) -> None:
    page = await beside()
    send = page.get_by_role("button", name="发送到聊天")
    await expect(page.locator(".task .already")).to_contain_text("7 天内")
    await expect(send).to_be_visible()
    await tell(world, "case.opened", external_userid=ANING)
    await page.reload()
    await expect(page.get_by_role("alert").filter(has_text="现在不能发")).to_be_visible()
    await expect(send).to_be_hidden()
    await expect(page.get_by_role("button", name="跳过")).to_be_visible()


async def test_the_goods_pictures_come_without_a_jump_and_one_that_is_gone_leaves_its_place(
    world: World, beside: Beside
) -> None:
    lines = [
        {"line_key": name, "title": name, "paid_fen": 100, "image_url": f"https://img.example.com/{name}.svg"}
        for name in ("there", "gone")
    ]
    await save(world, order("g-1", 1, world.clock.now(), lines=lines))
    page = await beside(contact=XIAOMAN)
    asked: list[dict[str, str]] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.headers)
        if "gone" in route.request.url:
            return await route.fulfill(status=404)
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"><rect width="900" height="300"/></svg>'
        return await route.fulfill(body=svg, content_type="image/svg+xml")

    await page.route("https://img.example.com/*", answer)
    await page.add_init_script(SHIFTS)
    await page.reload()
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    await page.wait_for_load_state("networkidle")  # with the pieces that the page asks for by itself
    await page.get_by_role("tab", name="订单").click()
    pictures = page.locator(".order-picture")
    await expect(pictures.locator("img")).to_have_count(1)
    await expect(pictures).to_have_count(2)
    sizes = await pictures.evaluate_all("all => all.map(it => [it.offsetWidth, it.offsetHeight])")
    assert sizes == [[44, 44], [44, 44]]
    assert await page.evaluate("shifted") < 0.02
    assert asked
    assert all("referer" not in headers and "cookie" not in headers for headers in asked)


async def test_the_open_page_shows_the_line_and_a_tap_reads_it_anew(world: World, beside: Beside) -> None:
    page = await beside(f"/sidebar/contacts/{XIAOMAN}", contact=XIAOMAN)
    await page.clock.install()
    await page.reload()
    news = page.locator("page-news")
    await expect(page.get_by_role("heading", name="小满")).to_be_visible()
    world.clock.advance(minutes=5)
    await save(world, order("n-2", 0, world.clock.now()))
    await page.clock.run_for(31_000)
    await expect(news).to_contain_text("更新")
    # Whose page it is stays in sight.
    name, told = (await page.get_by_role("heading", name="小满").bounding_box(), await news.bounding_box())
    assert name
    assert told
    assert name["y"] + name["height"] < told["y"]
    await news.get_by_role("button").click()
    await page.get_by_role("tab", name="订单").click()
    await expect(page.get_by_text("n-2")).to_be_visible()
    await expect(news).to_be_empty()
