"""订单: everybody's orders, narrowed by what people ask for, paged along the time, added up."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, event, insert, update

from scrm.access.roles import made_of
from scrm.access.scope import EVERYONE
from scrm.access.store import save_role
from scrm.commerce.models import orders
from scrm.customer_lists import order_store
from scrm.customer_lists.order_filters import narrow, read
from tests.console.conftest import Page, SignIn, Visitor
from tests.customer_lists.shop import open_shop
from tests.world import World

LIST = "/console/orders"


async def open_orders(world: World) -> None:
    """Order n was placed n days ago by person n, paid n times 100 yuan; 9 by nobody known, 10 is of forty days ago.

    Even ones came by file from 淘宝, the others by push from 京东; 3 was delivered, 4 has a case of 50 yuan, 5 is a test.
    """
    await open_shop(world)
    now = world.clock.now()

    def add(conn: Connection) -> None:
        rows = [
            {
                "channel": "jd" if n % 2 else "taobao",
                "order_no": f"2026-{n:04}",
                "person_id": n if n != 9 else None,
                "status": "shipped" if n == 3 else "paid",
                "aftersale_status": "partially_refunded" if n == 4 else "none",
                "paid_fen": n * 10_000,
                "refunded_fen": 5_000 if n == 4 else 0,
                "ordered_at": now - timedelta(days=40 if n == 10 else n),
                "delivered_at": now if n == 3 else None,
                "is_test": n == 5,
                "route": "push" if n % 2 else "file",
                "first_seen_at": now,
                "last_seen_at": now,
            }
            for n in range(1, 11)
        ]
        conn.execute(insert(orders), rows)

    await world.services.db.write(add)


def numbers(page: Page) -> list[int]:
    return [int(word[5:]) for word in page.words if word.startswith("2026-0")]


async def test_every_filter_narrows_the_orders_and_what_they_add_up_to(manager: Visitor, world: World) -> None:
    await open_orders(world)
    today = world.clock.now().astimezone(world.services.settings.shop.zone).date()
    day = {days: str(today - timedelta(days=days)) for days in (2, 4, 45)}
    expected = {
        "": ([1, 2, 3, 4, 5, 6, 7, 8, 9], "共 8 单 实付 ¥4,000.00 退款 ¥50.00 净额 ¥3,950.00"),
        "channel=jd": ([1, 3, 5, 7, 9], "共 4 单 实付 ¥2,000.00"),
        "route=file": ([2, 4, 6, 8], "共 4 单 实付 ¥2,000.00 退款 ¥50.00"),
        "state=delivered": ([3], "共 1 单 实付 ¥300.00"),
        "state=shipped": ([], "共 0 单"),
        "state=aftersale": ([4], "共 1 单 实付 ¥400.00 退款 ¥50.00"),
        f"since={day[4]}&until={day[2]}": ([2, 3, 4], "共 3 单"),
        f"since={day[45]}&paid_from=800": ([8, 9, 10], "共 3 单 实付 ¥2,700.00"),
        "paid_from=200&paid_to=300": ([2, 3], "共 2 单"),
        # Words find what is older, too.
        "q=2026-0010": ([10], "共 1 单"),
        "q=2026-00&state=delivered": ([3], "共 1 单"),
        "q=顾客 1": ([1, 10], "共 2 单"),
        "q=没有的人": ([], "共 0 单"),
    }
    for query, (wanted, words) in expected.items():
        page = await manager.get(f"{LIST}?{query}")
        assert (page.status, numbers(page)) == (200, wanted), query
        assert words in await manager.get(f"{LIST}/sums?{query}"), query
    page = await manager.get(LIST)
    for words in ("还没认出是谁", "测试单", "部分退款", "已签收", "平台推送", "最近 30 天下单的"):
        assert words in page, words
    for query, words in {
        "since=昨天": "下单时间要写日期，例如 2026-03-01，写的是“昨天”",
        "since=2020-01-01": "一次最多看 366 天",
        "since=2026-03-02&until=2026-03-01": "开始日期 2026-03-02 在结束日期 2026-03-01 之后",
        "paid_from=很多": "实付要写金额（元），最多两位小数，写的是“很多”",
        "state=lost": "状态没有“lost”",
    }.items():
        page = await manager.get(f"{LIST}?{query}")
        assert (numbers(page), words in page) == ([], True), query


async def test_a_page_is_walked_along_the_time_and_goes_on(world: World) -> None:
    await open_orders(world)
    now, zone = world.clock.now(), world.services.settings.shop.zone
    # Two of one moment stand in one order.
    same = update(orders).where(orders.c.order_no.in_(("2026-0003", "2026-0004"))).values(ordered_at=now)
    await world.services.db.write(lambda conn: conn.execute(same))
    said: list[tuple[str, Any]] = []

    def look(conn: Connection, query: dict[str, str], before: str) -> order_store.Found:
        def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            said.append((statement, parameters))

        event.listen(conn, "before_cursor_execute", hear)
        narrowed = narrow(read(query), zone, str, now)
        found = order_store.find_page(conn, narrowed, EVERYONE, before=before, limit=2)
        event.remove(conn, "before_cursor_execute", hear)
        return found

    for query, wanted in (({}, [4, 3, 1, 2, 5, 6, 7, 8, 9]), ({"q": "2026-00"}, [4, 3, 1, 2, 5, 6, 7, 8, 9, 10])):
        seen, before = [], ""
        while True:
            found = await world.services.db.read(look, query, before)
            seen += [int(row.order_no[5:]) for row in found.rows]
            if not (before := found.before):
                break
        assert seen == wanted, query
    if world.services.db.is_sqlite:
        statement, given = said[1]
        plan = await world.services.db.read(
            lambda conn: conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
        )
        told = "\n".join(str(row[-1]) for row in plan)
        assert "ix_orders_ordered_at" in told, told
        assert "TEMP B-TREE" not in told, told


async def test_nobody_sees_orders_of_others_customers(world: World, sign_in: SignIn) -> None:
    await open_orders(world)

    def role(conn: Connection) -> None:
        save_role(conn, made_of("shop", "店长", ["orders:view"], "own", []), by="x", now=world.clock.now())

    await world.services.db.write(role)
    lina = await sign_in("lina", "李娜", "shop")
    assert numbers(await lina.get(LIST)) == [1, 3, 5, 7]
    assert numbers(await lina.get(f"{LIST}?q=2026-0004")) == []
    assert "共 3 单" in await lina.get(f"{LIST}/sums")
    member = await sign_in("wangwei", "王伟", "member")
    assert (await member.get(LIST)).status == 403
