"""A platform's new word for an order's state is shown with its orders, and read as the manager says from then on."""

import pytest

from scrm.commerce import order_views
from scrm.commerce.hooks.kinds import Hooks, open_hooks
from tests.console.conftest import Visitor
from tests.console.test_hooks import SECRET, push
from tests.console.test_imports import folder, send, upload
from tests.world import World, make_settings

__all__ = ["folder"]
HEADINGS = "订单号,商品ID,商品名称,订购数量,下单时间,京东价,订单金额,结算金额,应付金额,订单状态,下单帐号,付款确认时间"
JD = f"{HEADINGS}\n" + "".join(
    f"29000000000{place},1,茶,1,2026-06-01 10:00:00,9.90,9.90,9.90,9.90,{state},a***b,2026-06-01 10:01:00\n"
    for place, state in enumerate(("暂停出库", "完成", "暂停出库", "锁定单"))
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What is kept is tested on both databases in tests/commerce/test_status_words.py."""
    return sqlite_url


async def test_of_a_file_before_and_after_it_is_brought_in(manager: Visitor, world: World) -> None:
    url = await upload(manager, JD, "京东.csv", 1)
    checked = await manager.get(url)
    for words in ("没见过的订单状态", "暂停出库", "290000000000", "锁定单", "还不知道（记为未知）"):
        assert words in checked
    assert "没见过的订单状态" not in await manager.get("/console/imports"), "a check keeps nothing"
    await send(manager, url, act="import", shop_key="", format="", mode="update")
    (order,) = await world.services.db.read(order_views.find_orders, None, "290000000000")
    assert (order.row["status"], order.row["raw_status"]) == ("unknown", "暂停出库")
    listed = await manager.get("/console/imports")
    for words in ("京东订单", "暂停出库", "锁定单"):
        assert words in listed
    assert "2 种说法不认识" in await manager.get("/console/operations")

    said = {"source": "file:jd", "word": "暂停出库", "job": url.rpartition("/")[2]}
    wrong = await manager.send("/console/imports/status-words", **said, status="gone")
    assert (wrong.status, "没有订单状态“gone”" in await wrong.text()) == (422, True)
    foreign = await manager.send("/console/imports/status-words", source="mall", word="x", status="paid")
    assert foreign.status == 422
    await send(manager, "/console/imports/status-words", **said, status="paid")
    assert 'value="paid" selected' in (await manager.get(f"{url}?mapped")).html
    (order,) = await world.services.db.read(order_views.find_orders, None, "290000000000")
    assert order.row["status"] == "paid", "what is kept is read again in the background"
    assert "已有的订单都是最新的" in (await manager.get(f"{url}?mapped")).html
    await send(manager, url, act="import", shop_key="", format="", mode="update")
    done = await manager.get(url)
    assert "锁定单" in done
    assert "暂停出库" not in done
    await send(manager, "/console/imports/status-words", **said, status="")
    assert "暂停出库" not in await manager.get("/console/imports"), "taken back, until it comes again"


async def test_of_a_shop_that_pushes(manager: Visitor, world: World) -> None:
    sources = {"mall": {"kind": "generic", "secret": SECRET, "title": "茶铺小程序"}}
    settings = make_settings("sqlite:///x", "https://qyapi.example.test", sources=sources)
    world.services.memory[Hooks] = open_hooks(settings)
    order = {"status": "unknown", "raw_status": "待核单", "paid_fen": 900, "ordered_at": "2026-03-01T10:00:00+08:00"}
    await push(world, {**order, "order_no": "M1"})
    page = await manager.get("/console/hooks")
    for words in ("没见过的订单状态", "茶铺小程序", "待核单", "M1"):
        assert words in page
    mapped = await manager.send("/console/hooks/status-words", source="mall", word="待核单", status="paid")
    assert mapped.headers["Location"] == "/console/hooks?mapped"
    world.clock.advance(seconds=1)
    await push(world, {**order, "order_no": "M2"}, nonce="m")
    (found,) = await world.services.db.read(order_views.find_orders, None, "M2")
    assert found.row["status"] == "paid"
