"""The script in a mall of another origin, and what managers and members see of it, in a real browser."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page

from scrm.events import event
from scrm.http import COOKIE
from scrm.profiles.models import identity
from scrm.profiles.store import save_member
from scrm.tracking import radar
from scrm.tracking.models import radar_open, tracked_event, visitor
from tests.fixtures_browser import OpenPage
from tests.tracking.conftest import DOMAINS, KEY, Visitor
from tests.waiting import eventually
from tests.world import XIAOMAN, World
from web.assets import META

SCRIPT_BYTES = 2048


def test_the_script_stays_within_two_kilobytes() -> None:
    (file,) = META.parent.glob("track-*.js")
    assert len(file.read_bytes()) <= SCRIPT_BYTES


@pytest.fixture
async def mall(world: World, aiohttp_server: Any) -> str:
    """A page of another origin with our script, which asks for consent."""
    script = world.client.make_url("/track.js")

    async def page(request: web.Request) -> web.Response:
        html = (
            "<!doctype html><title>修护面霜</title><h1>修护面霜</h1>"
            f'<script src="{script}" data-key="{KEY}" data-consent="required"></script>'
        )
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{any:.*}", page)
    server = await aiohttp_server(app)
    return str(server.make_url("/goods"))


async def test_nothing_is_told_before_consent_and_everything_is_forgotten_after(
    world: World, mall: str, open_page: OpenPage
) -> None:
    await world.add()
    page = await open_page(width=390, phone=True)
    await page.goto(mall)
    await page.evaluate("scrm.track('cart.added', {sku: 'SKU-1', title: '修护面霜', price_fen: 16800})")
    await page.evaluate("scrm.identify({identities: [{kind: 'wx_unionid', value: 'oUnionXiaoman'}]})")
    await page.wait_for_timeout(1200)
    assert await world.rows(visitor) == []
    assert await page.evaluate("Object.keys(localStorage)") == []

    async def are_told(*names: str) -> bool:
        return {row.name for row in await world.rows(tracked_event)} == set(names)

    await page.evaluate("scrm.consent(true)")
    await eventually(lambda: are_told("page.viewed", "cart.added"))
    (owner,) = await world.rows(identity, identity.c.kind == "anonymous_id")
    assert await page.evaluate("localStorage.scrm_id") == owner.value
    assert [row.person_id for row in await world.rows(event, event.c.name == "cart.added")] == [owner.person_id]

    await page.evaluate("scrm.consent(false)")
    await eventually(are_told)
    assert await page.evaluate("Object.keys(localStorage)") == ["scrm_consent"]
    assert await world.rows(identity, identity.c.kind == "anonymous_id") == []


async def test_where_nothing_may_be_stored_a_visitor_is_one_until_the_page_is_left(
    world: World, mall: str, open_page: OpenPage
) -> None:
    page = await open_page(width=390, phone=True)
    await page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})")
    await page.goto(mall)
    await page.evaluate("scrm.consent(true)")

    async def told(count: int) -> bool:
        return len(await world.rows(tracked_event)) == count

    await eventually(lambda: told(1))
    await page.evaluate("scrm.track('cart.added', {sku: 'SKU-1'})")
    await eventually(lambda: told(2))
    assert len({row.anonymous_id for row in await world.rows(tracked_event)}) == 1
    await page.evaluate("scrm.consent(false)")
    await eventually(lambda: told(0))


async def make_link(world: World, url: str, person_id: int) -> str:
    now = world.clock.now()

    def make(conn: Any) -> str:
        save_member(conn, "lina", name="李娜", now=now)
        row = radar.save_content(
            conn, title="敏感肌换季护理指南", url=url, key="guide", domains=DOMAINS, by="t", now=now
        )
        radar.ensure_link(conn, row.id, userid="lina", person_id=0, external_userid="", now=now)
        whom = {"userid": "lina", "person_id": person_id, "external_userid": XIAOMAN}
        return radar.ensure_link(conn, row.id, now=now, **whom)

    return "/r/" + await world.services.db.write(make)


async def test_a_page_tells_how_long_it_was_read_and_managers_see_it(
    world: World,
    mall: str,
    manager: Visitor,
    open_page: OpenPage,
    screenshot: Callable[[Page, str], Awaitable[Any]],
) -> None:
    await world.add()
    (owner,) = await world.rows(identity, identity.c.value == XIAOMAN)
    link = await make_link(world, mall, owner.person_id)
    base = str(world.client.make_url("")).rstrip("/")
    reader = await open_page(width=390, phone=True)
    await reader.goto(base + link)
    assert "scrm_r=" in reader.url
    await reader.evaluate("scrm.consent(true)")
    await reader.wait_for_timeout(1600)
    await reader.goto("about:blank")

    async def seconds() -> int:
        return sum(row.seconds for row in await world.rows(radar_open))

    await eventually(seconds)
    await world.settle()
    for width in (390, 1280):
        page = await open_page(width=width, phone=width < 500)
        await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
        for name, path in (
            ("radar", "/console/radar"),
            ("radar-content", "/console/radar/guide"),
            ("timeline", f"/console/customers/{owner.person_id}?kind=radar#timeline"),
        ):
            await page.goto(base + path)
            assert "敏感肌换季护理指南" in await page.inner_text(".stage")
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
            await screenshot(page, f"tracking-{name}-{width}")
