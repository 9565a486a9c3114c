"""What a playbook achieved, on its page: bars, members, the holdout; and why somebody is in it, in words."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Page as BrowserPage
from sqlalchemy import Connection, insert

from scrm.http import COOKIE
from scrm.profiles.models import member, person
from scrm.sop.models import enrolment
from scrm.sop.results.tables import conversion, tally, tally_cursor
from tests.console.conftest import Visitor
from tests.fixtures_browser import OpenPage
from tests.world import World

KEY = "new-customer"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages look the same on both databases: one is enough."""
    return sqlite_url


def fill(conn: Connection, world: World, step_ids: list[tuple[str, str]], *, held_out: int = 240) -> None:
    """A busy month: four members, a tenth of the runs left alone."""
    now = world.clock.now()
    entered = now - timedelta(days=12)
    day = entered.astimezone(world.services.settings.shop.zone).date().isoformat()
    rows: list[dict[str, Any]] = []

    def count(step_id: str, userid: str, **counts: int) -> None:
        for what, number in counts.items():
            what = what.replace("__", ":")
            rows.append(
                {"playbook_key": KEY, "day": day, "version": 1, "step_id": step_id, "variant": "", "userid": userid}
                | {"what": what, "count": number}
            )

    count(
        "", "", entered=4200, goal=520, done=2900, exited=310, holdout__entered=held_out, holdout__goal=held_out // 20
    )
    for step_id, channel in step_ids:
        for number, (userid, share) in enumerate((("lina", 96), ("wangfang", 71), ("zhaolei", 38), ("sunyu", 12))):
            released = 900 - number * 190
            delivered = released * share // 100 if channel == "T" else released
            count(
                step_id,
                userid,
                targeted=released + 80,
                left_out=80,
                released=released,
                delivered=delivered,
                confirmed=delivered,
                in_time=delivered * 9 // 10,
                opened=delivered // 6,
                lost=number * 2,
            )
            if channel == "T":
                late = released - delivered
                count(step_id, userid, expired=late * 3 // 4, skipped=late - late * 3 // 4)
                rows.append(rows[-1] | {"what": f"delay:{(10, 45, 240, 1440)[number]}", "count": delivered})
                rows.append(rows[-1] | {"what": "why:已超过有效期", "count": late * 3 // 4})
                rows.append(rows[-1] | {"what": "why:条件不满足：已付款订单数 等于 0", "count": 80})
    conn.execute(insert(tally), rows)
    done = {"counted_id": 10**6, "seen_id": 10**6, "counted_at": now, "seen_at": now}
    conn.execute(insert(tally_cursor), [{"name": name, **done} for name in ("enrolment", "ending")])
    names = (("wangfang", "王芳"), ("zhaolei", "赵磊"), ("sunyu", "孙宇"))
    conn.execute(insert(member), [{"userid": userid, "folded": userid, "name": name} for userid, name in names])
    for number in range(held_out):
        person_id = conn.execute(
            insert(person).values(name=f"对照{number}", created_at=now).returning(person.c.id)
        ).scalar_one()
        values = {
            "playbook_key": KEY,
            "version": 1,
            "run_key": f"person:{person_id}",
            "person_id": person_id,
            "anchor_at": entered,
            "enrolled_at": entered,
            "is_holdout": True,
            "state": "done",
        }
        run_id = conn.execute(insert(enrolment).values(**values).returning(enrolment.c.id)).scalar_one()
        if number % 3 == 0:
            reached = {"entered_at": entered, "reached_at": entered + timedelta(days=number % 9)}
            credited = {"step_id": step_ids[-1][0], "userid": "lina", "is_holdout": False}
            kept = {"enrolment_id": run_id, "playbook_key": KEY, "version": 1}
            conn.execute(insert(conversion).values(**kept, **reached, **credited))


@pytest.fixture
async def steps(world: World) -> list[tuple[str, str]]:
    from scrm.sop.shelf import playbooks_of

    return [(step.id, step.channel.value) for step in playbooks_of(world.services).current[KEY].steps]


async def test_the_page_tells_shares_reasons_members_and_the_uplift(
    manager: Visitor, world: World, steps: list[tuple[str, str]]
) -> None:
    await world.services.db.write(fill, world, steps)
    page = await manager.get(f"/console/playbooks/{KEY}")
    for words in (
        "进入 4,200 另有对照组 240",
        "已达成目标 520",
        "12.4%",
        "确有提升",
        "95% 区间",
        "对照组 5.0% 12 / 240",
        "怎么算的",
        "Newcombe",
        "员工执行",
        "王芳",
        "没有送达的原因",
        "已超过有效期",
        "骚扰代价",
    ):
        assert words in page, words
    small = await manager.get(f"/console/playbooks/{KEY}?days=7")
    assert "还没有客户进入" in small


async def test_below_two_hundred_left_alone_the_page_says_how_many_are_missing(
    manager: Visitor, world: World, steps: list[tuple[str, str]]
) -> None:
    await world.services.db.write(lambda conn: fill(conn, world, steps, held_out=150))
    page = await manager.get(f"/console/playbooks/{KEY}")
    assert "只有 150 位，还差 50 位才够 200 位" in page
    assert "确有提升" not in page


async def test_a_number_leads_to_its_people_and_they_to_the_reason(manager: Visitor, world: World) -> None:
    await world.add()
    page = await manager.get(f"/console/playbooks/{KEY}")
    links = [link for link in page.links if "/people?" in link]
    assert links
    listed = await manager.get(links[0])
    assert listed.status == 200
    assert "小满" in listed
    (reason,) = [link for link in listed.links if link.startswith("/console/why?")]
    told = await manager.get(reason)
    for words in ("小满 与「新客欢迎与首单」", "因“客户添加了员工”进入，进行中", "下一步", "到时会"):
        assert words in told, words
    by_name = await manager.get(f"/console/why?playbook={KEY}&person=小满")
    assert "因“客户添加了员工”进入" in by_name
    nobody = await manager.get(f"/console/why?playbook={KEY}&person=没有这个人")
    assert nobody.status == 200
    assert "找不到客户“没有这个人”" in nobody


async def test_a_send_and_a_customer_lead_to_the_reason(manager: Visitor, world: World) -> None:
    await world.add()
    sends = await manager.get("/console/sends")
    (link,) = [link for link in sends.links if link.startswith("/console/why?send=")]
    told = await manager.get(link)
    for words in ("欢迎语 已发送", "「 新客欢迎与首单 」第 1 版", "由客户的“客户添加了员工”引起"):
        assert words in told, words
    assert (await manager.get("/console/why?send=77")).status == 404
    assert (await manager.get("/console/why?send=x")).status == 404
    customer = await manager.get("/console/customers/1")
    assert f"/console/why?person=1&playbook={KEY}" in customer.links
    assert "为什么在或不在" in customer


@pytest.mark.parametrize("width", [390, 1280])
async def test_the_figures_fit_a_phone_and_a_desk(
    manager: Visitor,
    world: World,
    steps: list[tuple[str, str]],
    open_page: OpenPage,
    screenshot: Callable[[BrowserPage, str], Awaitable[Any]],
    width: int,
) -> None:
    await world.add()
    await world.services.db.write(fill, world, steps)
    base = str(world.client.make_url("")).rstrip("/")
    page = await open_page(width=width, phone=width < 500)
    await page.context.add_cookies([{"name": COOKIE, "value": manager.token, "url": base}])
    for name, path in (
        ("results", f"/console/playbooks/{KEY}"),
        ("why", f"/console/why?playbook={KEY}&person=1"),
        ("people", f"/console/playbooks/{KEY}/people?step={steps[0][0]}&what=targeted"),
    ):
        await page.goto(base + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, path
        await page.set_viewport_size(
            {"width": width, "height": min(4000, await page.evaluate("document.documentElement.scrollHeight"))}
        )
        await screenshot(page, f"console-playbook-{name}-{width}")
        await page.set_viewport_size({"width": width, "height": 800})
