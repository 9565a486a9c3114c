"""订单拉取: how far each source is, its trouble in words, and the two buttons."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from scrm.commerce.connectors.generic_rest import GenericRest, Options
from scrm.commerce.pulls import run, store
from scrm.commerce.pulls.kinds import Pulls
from scrm.console.mall.sources import in_words
from scrm.work.models import work_item
from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def fill(conn: Connection, world: World) -> None:
    now = world.clock.now()
    store.begin(conn, "mall", "orders", now=now)
    store.start(conn, "mall", "orders", now=now)
    store.advance(conn, "mall", "orders", reached_at=now - timedelta(hours=3))
    store.fail(conn, "mall", "orders", error="shop.test 回答 HTTP 502，稍后自动重试", retry_seconds=None, now=now)
    read = store.Read(
        rejects=[store.Reject("M7", 'paid_fen：应为整数（金额以分为单位），收到 "一百"', {"order_no": "M7"})]
    )
    store.save_page(conn, "mall", "orders", read, route="api", vault=world.services.vault, now=now)


async def test_the_page_tells_how_far_each_source_is(world: World, manager: Visitor) -> None:
    assert "还没有主动拉取的数据来源" in await manager.get("/console/sources")
    options = Options(kind="generic_rest", url="https://shop.test/orders", title="官网商城")
    world.services.memory[Pulls] = Pulls(mall=GenericRest("mall", options))
    assert "还没有拉取" in await manager.get("/console/sources")
    await world.services.db.write(fill, world)
    page = await manager.get("/console/sources")
    for words in ("官网商城", "出错，稍后重试", "HTTP 502", "3 小时", "M7", "应为整数", "重新解析“官网商城”的记录"):
        assert words in page, words
    for act, words in (("pull", "正在拉取，结果会自己出现"), ("replay", "已开始重新解析")):
        pressed = await manager.post(f"/console/sources/mall/{act}")
        assert words in await manager.get(pressed.headers["Location"])
    kinds = select(work_item.c.kind).order_by(work_item.c.id)
    asked = await world.services.db.read(lambda conn: list(conn.execute(kinds).scalars()))
    assert asked == [run.KIND, run.REPLAY]
    await world.services.db.write(lambda conn: conn.execute(work_item.delete()))
    assert "已拉取完毕" in await manager.get("/console/sources?asked=mall")
    assert (await manager.post("/console/sources/other/pull")).status == 404


def test_spans_are_told_in_the_largest_fitting_unit() -> None:
    spans = [timedelta(seconds=20), timedelta(minutes=90), timedelta(hours=30), timedelta(days=3)]
    assert [in_words(span) for span in spans] == ["不到 1 分钟", "90 分钟", "30 小时", "3 天"]
