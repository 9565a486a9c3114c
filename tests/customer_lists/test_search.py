"""The search box in the frame: everything by which people know a customer, within one's reach."""

from typing import Any

from sqlalchemy import Connection

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.commerce.canonical import read_order
from scrm.commerce.store import save_orders
from scrm.profiles import store as profiles
from tests.console.conftest import Page, SignIn, Visitor
from tests.customer_lists.shop import open_shop, wm
from tests.world import World


async def ask(visitor: Visitor, text: str) -> Page:
    headers = {**visitor.cookie, "HX-Request": "true"}
    response = await visitor.world.client.get("/console/search", params={"q": text}, headers=headers)
    return Page(response.status, await response.text())


def hits(page: Page) -> list[str]:
    return [link.removeprefix("/console/customers/") for link in page.links if "?q=" not in link]


async def _dress(world: World) -> None:
    now, vault = world.clock.now(), world.services.vault

    def work(conn: Connection) -> None:
        conn.exec_driver_sql("UPDATE follow_user SET remark = '宝妈 敏感肌' WHERE person_id = 3")
        for number, phone in ((3, "+8613800136620"), (4, "+8613911116620")):
            profiles.add_phone(conn, number, phone, vault=vault, source="staff", now=now)
        save_orders(conn, [read_order(_order("SO-398102", "+8613800136620"))], now=now, vault=vault, route="api")

    await world.services.db.write(work)


def _order(number: str, phone: str) -> dict[str, Any]:
    return {
        "channel": "tmall",
        "shop_key": "qingyu",
        "order_no": number,
        "status": "shipped",
        "payment_status": "paid",
        "paid_fen": 12_800,
        "paid_at": "2026-03-02T10:03:00+08:00",
        "ordered_at": "2026-03-02T10:02:00+08:00",
        "buyer_ref": {"mobile_e164": phone},
        "lines": [{"line_key": "1", "title": "防晒乳", "qty": 1, "unit_price_fen": 12_800}],
    }


async def test_customers_and_orders_are_found_by_what_people_know(
    manager: Visitor, world: World, sign_in: SignIn
) -> None:
    await open_shop(world)
    await _dress(world)
    expected = {
        "客 3": ["3"],
        "敏感": ["3"],
        "6620": ["4", "3"],
        "13800136620": ["3"],
        "138 0013 6620": ["3"],
        wm(5): ["5"],
        "SO-398102": ["3", "3#orders"],
        "SO-3981": ["3#orders"],
        "SO-": [],
        "没有这个人": [],
        "%": [],
        "": [],
    }
    for text, found in expected.items():
        page = await ask(manager, text)
        assert (page.status, hits(page)) == (200, found), text
        assert "13800136620" not in page.html.replace(text, ""), text
    assert "没有找到“没有这个人”" in await ask(manager, "没有这个人")
    plain = await manager.world.client.get("/console/search?q=敏感", headers=manager.cookie, allow_redirects=False)
    assert plain.headers["Location"] == "/console/customers?q=%E6%95%8F%E6%84%9F"

    def role(conn: Connection) -> None:
        save_role(conn, made_of("shop", "店长", ["customers:view"], "own", []), by="x", now=world.clock.now())

    await world.services.db.write(role)
    # 王伟 follows those with even numbers.
    wangwei = await sign_in("wangwei", "王伟", "shop")
    assert hits(await ask(wangwei, "6620")) == ["4"]
    assert hits(await ask(wangwei, "SO-398102")) == []
    assert hits(await ask(wangwei, "13800136620")) == []
