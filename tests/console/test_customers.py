"""客户: found in every way people ask, paged by key, told whole."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from scrm.commerce.canonical import read_order
from scrm.commerce.store import save_orders
from scrm.customer_lists import store as lists
from scrm.profiles import store as profiles
from scrm.profiles.models import external_contact, person
from tests.console.conftest import Page, Visitor
from tests.world import XIAOMAN, World


def persons(page: Page) -> list[str]:
    """Whom a list shows, in its order."""
    return [link for link in page.links if re.fullmatch(r"/console/customers/\d+", link)]


async def fill(world: World, count: int) -> None:
    """That many persons called 顾客 1, 顾客 2 ..."""
    now = world.clock.now()

    def work(conn: Connection) -> None:
        numbers = range(1, count + 1)
        conn.execute(insert(person), [{"name": "", "created_at": now} for _ in numbers])
        contacts = [
            {"external_userid": f"wm{n:06}", "person_id": n, "name": f"顾客 {n}", "created_at": now} for n in numbers
        ]
        conn.execute(insert(external_contact), contacts)

    await world.services.db.write(work)


async def test_the_list_goes_on_from_a_key_until_everybody_was_shown(manager: Visitor, world: World) -> None:
    await fill(world, 2 * lists.PAGE + 5)
    seen: list[str] = []
    path: str | None = "/console/customers"
    pages = 0
    while path:
        page = await manager.get(path)
        seen += persons(page)
        path = next((link for link in page.links if "before=" in link), None)
        pages += 1
    assert pages == 3
    assert len(seen) == len(set(seen)) == 2 * lists.PAGE + 5


async def test_a_search_for_a_common_name_goes_on_where_it_stopped(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "NAMED", 2)
    await fill(world, 25)
    found = []
    link: str | None = "/console/customers?q=顾客 3"
    while link:
        page = await manager.get(link)
        found += persons(page)
        link = next((each for each in page.links if "before=" in each), None)
    assert [each.rpartition("/")[2] for each in dict.fromkeys(found)] == ["23", "13", "3"]


@pytest.mark.parametrize("asked", ["小满", "满", XIAOMAN, "13800136620", "+86 138 0013 6620", "6620", "398102", "干皮"])
async def test_a_customer_is_found_by_what_people_know(manager: Visitor, world: World, asked: str) -> None:
    await world.add()
    await _dress(world)
    page = await manager.get("/console/customers", params={"q": asked})
    assert persons(page) == ["/console/customers/1"], asked


@pytest.mark.parametrize("asked", ["%", "_", "查无此人", "13900000000", "6621", "'; --", "<script>"])
async def test_what_is_not_there_is_not_found(manager: Visitor, world: World, asked: str) -> None:
    await world.add()
    page = await manager.get("/console/customers", params={"q": asked})
    assert page.status == 200
    assert f"没有找到“{asked}”" in page


async def _dress(world: World) -> None:
    """A phone, a remark and an order for 小满."""
    now, vault = world.clock.now(), world.services.vault

    def work(conn: Connection) -> None:
        profiles.add_phone(conn, 1, "+8613800136620", vault=vault, source="staff", now=now)
        conn.exec_driver_sql("UPDATE follow_user SET remark = '小满 干皮 VIP'")
        save_orders(conn, [read_order(_order())], now=now, vault=vault, route="api")

    await world.services.db.write(work)


def _order() -> dict[str, Any]:
    return {
        "channel": "tmall",
        "shop_key": "qingyu",
        "order_no": "398102",
        "status": "shipped",
        "payment_status": "paid",
        "paid_fen": 12_800,
        "paid_at": "2026-03-02T10:03:00+08:00",
        "ordered_at": "2026-03-02T10:02:00+08:00",
        "shipped_at": "2026-03-02T10:04:00+08:00",
        "buyer_ref": {"wx_unionid": "oUnionXiaoman"},
        "lines": [{"line_key": "1", "title": "清透防晒乳 50ml", "spec": "自然色", "qty": 2, "unit_price_fen": 6_400}],
    }


async def test_the_page_of_a_person_tells_the_whole_story(manager: Visitor, world: World) -> None:
    await world.add()
    world.clock.advance(minutes=5)
    await _dress(world)
    await world.settle()
    page = await manager.get("/console/customers/1")
    for words in (
        "小满",
        "live-1111",
        "天猫",
        "398102",
        "已发货",
        "清透防晒乳 50ml",
        "¥128.00",
        "新人券",
        "欢迎并送新人券",
    ):
        assert words in page, words
    # Paid in the meantime: the playbook says why it ended.
    assert "达成目标" in page


async def test_a_phone_number_is_never_shown_in_clear(manager: Visitor, world: World) -> None:
    await world.add()
    await _dress(world)
    page = await manager.get("/console/customers/1")
    assert "13800136620" not in page.html
    assert "138****6620" in page


async def test_a_skipped_step_says_why(manager: Visitor, world: World) -> None:
    await world.add()
    await world.pass_time(days=3, hours=1, minutes=30)
    await world.pass_time(days=1, hours=2)
    page = await manager.get("/console/customers/1")
    assert "已超过有效期，员工未发送" in page


async def test_a_customer_who_left_is_marked(manager: Visitor, world: World) -> None:
    await world.add()
    world.clock.advance(minutes=1)
    await world.lose()
    assert "客户已删除" in await manager.get("/console/customers")
    assert "客户已删除" in await manager.get("/console/customers/1")


async def test_an_unknown_person_is_a_page_that_says_so(manager: Visitor) -> None:
    page = await manager.get("/console/customers/999")
    assert page.status == 404
    assert "没有这位客户" in page
    assert "/console/customers" in page.links  # the way on is beside it


@pytest.mark.parametrize("before", ["", "-1", "1e9", "abc", "9" * 40, "１２"])
async def test_a_broken_key_starts_at_the_top(manager: Visitor, before: str) -> None:
    assert (await manager.get("/console/customers", params={"before": before})).status == 200
