"""What people need who see little, use no mouse, or have large fingers: on every page, by day and by night."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from scrm.http import COOKIE
from tests.fakes.wecom_view import AGENTS
from tests.fixtures_browser import PATIENCE
from tests.sidebar.conftest import Member
from tests.world import ANING, XIAOMAN, World
from web import build

AXE = (build.MODULES / "axe-core" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# One finding a line: what is wrong, where, and the colours when it is about them.
RUN = """async (tags) => (await axe.run(document, { runOnly: tags, resultTypes: ["violations"] })).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(" ")} ${node.any.map((it) => it.message).join(" ")}`))
"""
TABS = ("任务", "画像", "订单", "话术", "动态")
Scheme = Literal["light", "dark"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases."""
    return sqlite_url


Open = Callable[..., Awaitable[Page]]


@pytest.fixture
def open_sidebar(browser: Browser, world: World, lina: Member) -> Open:
    """A page of Lina's, with axe in it."""

    async def open_sidebar(scheme: Scheme = "light", width: int = 360, agent: str = "") -> Page:
        base = str(world.client.make_url("")).rstrip("/")
        context = await browser.new_context(
            base_url=base,
            viewport={"width": width, "height": 740},
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            color_scheme=scheme,
            reduced_motion="reduce",
            user_agent=agent or None,
        )
        await context.add_cookies([{"name": COOKIE, "value": lina.token, "url": base}])
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        return page

    return open_sidebar


@pytest.fixture
async def busy(world: World) -> World:
    """Somebody with orders, coupons and something to do, and somebody who has gone."""
    for contact in (XIAOMAN, ANING):
        await world.add(contact)
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    await world.lose(external_userid=ANING)
    return world


async def findings(page: Page) -> list[str]:
    await page.evaluate(AXE)
    found: list[str] = await page.evaluate(RUN, RULES)
    return found


async def too_small(page: Page) -> list[str]:
    """What a finger misses: it reaches less than 44 px high. Small things may have a larger reach than their looks."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll(
             "button, a.button, select, summary, input:not([type=hidden]):not([type=checkbox]):not([type=radio])")]
           .map((it) => [it, Math.max(it.offsetHeight, parseFloat(getComputedStyle(it, "::after").height) || 0)])
           .filter(([it, reach]) => it.offsetHeight && reach < 44)
           .map(([it, reach]) => `${reach}px ${it.outerHTML.slice(0, 90)}`)"""
    )
    return found


async def sideways(page: Page) -> int:
    """How much wider the page is than its panel."""
    wider: int = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wider


PAGES = (
    "/sidebar/",
    "/sidebar/today",
    "/sidebar/plain",
    "/sidebar/scan",
    "/sidebar/pool",
    "/sidebar/groups/wrNobodys",
    f"/sidebar/contacts/{ANING}",
    "/sidebar/contacts/wmSomebodyElses",
)


async def test_every_page_can_be_read_hit_and_understood(busy: World, open_sidebar: Open) -> None:
    """Colours are looked at by day and by night, reach and width on the narrowest and the widest panel."""
    wrong: dict[str, list[str]] = {}
    page = await open_sidebar()
    for path in PAGES:
        await page.goto(path)
        await _note(wrong, path, page)
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    for tab in TABS:
        await page.get_by_role("tab", name=tab).click()
        await _note(wrong, tab, page)
    assert wrong == {}, "\n".join(f"{finding}  ({', '.join(where)})" for finding, where in wrong.items())


async def _note(wrong: dict[str, list[str]], where: str, page: Page) -> None:
    await page.wait_for_load_state("networkidle")
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    for width, scheme in zip((320, 420), schemes, strict=True):
        await page.set_viewport_size({"width": width, "height": 740})
        await page.emulate_media(color_scheme=scheme)
        found = [*await findings(page), *await too_small(page)]
        if by := await sideways(page):
            found.append(f"{by}px wider than the panel")
        for finding in found:
            wrong.setdefault(finding, []).append(f"{where} {width} {scheme}")


async def test_androids_client_tells_of_the_night_in_its_user_agent(busy: World, open_sidebar: Open) -> None:
    page = await open_sidebar("light", agent=AGENTS["android 5.0"][0])
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 17, 17)"
    assert await findings(page) == []
    page = await open_sidebar("dark", agent=AGENTS["android 5.0"][0].replace("ColorScheme/Dark", "ColorScheme/Light"))
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(237, 237, 237)"


async def test_a_dialog_holds_the_focus_and_gives_it_back(busy: World, open_sidebar: Open) -> None:
    page = await open_sidebar()
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    opener = page.get_by_role("button", name="跳过", exact=True)
    await opener.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    assert await findings(page) == []
    for _ in range(12):
        await page.keyboard.press("Tab")
        inside = "const at = document.activeElement; return at === document.body || !!at.closest('dialog')"
        assert await page.evaluate(f"() => {{ {inside} }}")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(opener).to_be_focused()
    # Said aloud, not only shown.
    await opener.click()
    await dialog.get_by_role("button", name="客户不需要").click()
    await expect(page.get_by_role("status").filter(has_text="已跳过")).to_be_visible()
    assert await page.locator(".toast").get_attribute("aria-live") == "polite"


async def test_focus_walks_the_page_from_top_to_bottom(busy: World, open_sidebar: Open) -> None:
    page = await open_sidebar()
    await page.goto(f"/sidebar/contacts/{XIAOMAN}")
    tops: list[float] = []
    for _ in range(9):
        await page.keyboard.press("Tab")
        place: dict[str, Any] = await page.evaluate(
            "() => { const box = document.activeElement.getBoundingClientRect();"
            " return { top: box.top + scrollY, ring: getComputedStyle(document.activeElement).outlineStyle } }"
        )
        tops.append(place["top"])
        assert place["ring"] != "none"
    assert tops == sorted(tops)
