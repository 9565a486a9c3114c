"""A playbook is rehearsed in the console: by what happened, or by a crowd made up; nobody is written to."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page as BrowserPage
from sqlalchemy import Connection, func, select

from scrm.http import COOKIE
from scrm.sop.models import enrolment, send, step_run, task
from scrm.sop.rehearsal import jobs
from tests.console.conftest import Page, Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World

KEY = "new-customer"
PATH = f"/console/playbooks/{KEY}/rehearsal"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


def count_rows(conn: Connection) -> list[int]:
    return [
        conn.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (enrolment, step_run, task, send)
    ]


async def post(manager: Visitor, path: str, **form: str) -> Page:
    data = {"csrf": manager.csrf, **form}
    response = await manager.world.client.post(path, data=data, headers=manager.cookie, allow_redirects=False)
    return Page(response.status, await response.text())


async def rehearse(manager: Visitor, world: World, **form: str) -> Any:
    await post(manager, PATH, **form)
    await world.settle()
    return await manager.get(PATH)


async def test_a_month_of_a_crowd_shows_who_would_drown_in_tasks(manager: Visitor, world: World) -> None:
    before = await world.services.db.read(count_rows)
    asked = await manager.get(PATH)
    assert "发布之前，先看它会做什么" in asked
    page = await rehearse(
        manager, world, whose="crowd", days="3", crowd="900", members="3", confirms="50", staff="said"
    )
    for words in (
        "此人群预计每天给 3 名员工各",
        "超过 40 条上限",
        "模拟 900 位客户",
        "日历",
        "没有数据、当作满足的条件",
    ):
        assert words in page, words
    assert await world.services.db.read(count_rows) == before


async def test_what_happened_is_played_again_without_a_trace(manager: Visitor, world: World) -> None:
    await world.add()
    await world.pass_time(days=2)
    before = await world.services.db.read(count_rows)
    page = await rehearse(manager, world, whose="events", days="30")
    assert "近 30 天的真实事件" in page
    assert "进入人次 1" in page
    assert await world.services.db.read(count_rows) == before


async def test_a_rehearsal_is_broken_off_and_another_may_begin(manager: Visitor, world: World) -> None:
    await post(manager, PATH, whose="crowd", crowd="50", days="2")
    (row,) = await world.services.db.read(jobs.list_of, KEY)
    refused = await post(manager, PATH, whose="crowd", crowd="50")
    assert refused.status == 409
    assert "正在预演" in refused
    await post(manager, f"{PATH}/{row.id}/cancel")
    await world.settle()
    assert "这次预演已取消" in await manager.get(PATH)
    assert (await post(manager, PATH, whose="crowd", crowd="0")).status in (400, 422)
    assert (await manager.get("/console/playbooks/no-such/rehearsal")).status == 404


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_calendar_fits_a_phone_and_a_desk(
    manager: Visitor,
    world: World,
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    width: int,
) -> None:
    await rehearse(manager, world, whose="crowd", crowd="1800", days="30", members="2", confirms="60", staff="said")
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    await page.goto(base + PATH)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.locator(".calendar td[data-load]").count() > 30
    await screenshot(page, f"rehearsal-{width}")
    await page.screenshot(path=f"var/screenshots/rehearsal-full-{width}.png", full_page=True)
