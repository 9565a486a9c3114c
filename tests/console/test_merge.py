"""合并客户: seen before it is done, told in the log, taken back, and the old address leads on."""

from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.commerce import binding, store
from scrm.commerce.canonical import read_order
from scrm.profiles import store as profiles
from scrm.profiles import suggestions
from scrm.profiles.models import person
from scrm.reports.models import report_add
from tests.commerce.conftest import add_person
from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The pages are the same on both databases."""
    return sqlite_url


@pytest.fixture
async def two(world: World, manager: Visitor) -> tuple[int, int]:
    """Two records of one customer, an order with the younger, and somebody's suspicion."""
    now = world.clock.now()

    def furnish(conn: Connection) -> tuple[int, int]:
        one, other = add_person(conn, "林晓晓", wx_unionid="o6_lin"), add_person(conn, "晓晓", member_no="V2026")
        told: dict[str, Any] = {"channel": "pos", "order_no": "398102", "status": "paid", "paid_fen": 25900}
        order = read_order({**told, "paid_at": now.isoformat()})
        (saved,) = store.save_orders(conn, [order], now=now, vault=world.services.vault, route="api")
        binding.bind_order_manually(conn, saved.order_id, other, "lina", now)
        for person_id, skin in ((one, "干皮"), (other, "油皮")):
            profiles.set_field(conn, person_id, "肤质", skin, source="staff", now=now)
        profiles.add_phone(conn, other, "+8613800136620", vault=world.services.vault, source="remark", now=now)
        # Came by a channel code: the report knows the add by its moment.
        conn.execute(report_add.insert().values(state="shop", added_at=now, event_id=1, person_id=other, userid="lina"))
        evidence = {"key": "receiver_phone", "shown": "138****6620"}
        suggestions.suggest(conn, one, other, evidence, now=now)
        return one, other

    return await world.services.db.write(furnish)


async def send(manager: Visitor, path: str, **fields: Any) -> str:
    """Where the answer of a form leads."""
    data = {"csrf": manager.csrf, **{name: str(value) for name, value in fields.items()}}
    client = manager.world.client
    response = await client.post(path, data=data, headers=manager.cookie, allow_redirects=False)
    assert response.status == 303, await response.text()
    return response.headers["Location"]


async def test_a_manager_sees_what_moves_joins_and_takes_it_back(manager: Visitor, two: tuple[int, int]) -> None:
    one, other = two
    page = await manager.get("/console/merge")
    assert "收货手机号相同 138****6620" in page
    assert "UnionID 自动合并" in page
    page = await manager.get(f"/console/merge/preview?one={one}&other=13800136620")
    assert "订单 1 0 1" in page
    assert "自定义字段 1 1 1" in page
    assert "字段“肤质”两边都填了" in page
    assert "13800136620" not in page
    assert await send(manager, "/console/merge", kept=one, gone=other) == f"/console/customers/{one}"
    assert "￥259.00" in (await manager.get(f"/console/customers/{one}")).text.replace("¥", "￥")
    assert (await manager.get(f"/console/customers/{other}")).status == 302
    page = await manager.get("/console/merge")
    assert "人工合并 chenlan" in page
    assert "没有待确认的客户" in page
    assert await send(manager, "/console/merge/1/undo") == f"/console/customers/{other}"
    assert "398102" in await manager.get(f"/console/customers/{other}")
    assert [row.person_id for row in await manager.world.rows(report_add)] == [other]
    assert "已撤销" in await manager.get("/console/merge")


async def test_pairs_that_are_not_the_same_are_asked_about_once(manager: Visitor, two: tuple[int, int]) -> None:
    assert await send(manager, "/console/merge/apart", kept=two[0], gone=two[1]) == "/console/merge"
    await send(manager, "/console/merge/look")
    assert "没有待确认的客户" in await manager.get("/console/merge")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("one=1&other=1", "同一位客户"),
        ("one=1&other=林晓晓", "没有找到另一位客户"),
        ("one=1&other=999", "没有这位客户"),
    ],
)
async def test_a_preview_of_nothing_says_what_to_give(manager: Visitor, world: World, query: str, words: str) -> None:
    await world.services.db.write(lambda conn: conn.execute(person.insert().values(created_at=world.clock.now())))
    assert words in await manager.get(f"/console/merge/preview?{query}")
