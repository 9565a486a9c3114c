"""订单: everybody's orders, narrowed by what people ask for, paged along the time, added up."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import Connection, event, insert, update

from scrm.access.roles import made_of
from scrm.access.scope import EVERYONE
from scrm.access.store import save_role
from scrm.commerce.models import orders
from scrm.console.mall import orders as page_of_orders
from scrm.customer_lists import order_export, order_store
from scrm.customer_lists.export import tick
from scrm.customer_lists.models import bulk_job
from scrm.customer_lists.order_filters import narrow, read
from scrm.profiles import store as profiles
from tests.console.conftest import Page, SignIn, Visitor
from tests.customer_lists.shop import open_shop
from tests.customer_lists.test_bulk import run_bulk
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


async def test_what_the_list_shows_is_taken_out_as_a_file(
    world: World, manager: Visitor, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_orders(world)
    monkeypatch.setattr(order_export, "_CHUNK", 2)
    formula = update(orders).where(orders.c.order_no == "2026-0001").values(order_no="=1+1")
    await world.services.db.write(lambda conn: conn.execute(formula))

    async def take(suffix: str, query: str = "", visitor: Visitor = manager) -> tuple[int, bytes]:
        response = await visitor.send(f"{LIST}/export", suffix=suffix, query=query)
        return response.status, await response.read()

    _, body = await take("csv")
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert [row["订单号"] for row in rows] == ["'=1+1", *(f"2026-{n:04}" for n in range(2, 10))]
    assert (rows[3]["售后"], rows[3]["退款（元）"], rows[4]["测试单"], rows[8]["客户"]) == (
        "部分退款",
        "50.0",
        "是",
        "",
    )
    assert rows[2]["状态"] == "已签收"
    _, body = await take("xlsx", "channel=taobao&state=paid")
    grid = CalamineWorkbook.from_filelike(io.BytesIO(body)).get_sheet_by_index(0).to_python()
    assert grid[0][0] == "订单号"
    assert [(row[0], row[8]) for row in grid[1:]] == [(f"2026-{n:04}", n * 100.0) for n in (2, 4, 6, 8)]
    assert await world.rows(bulk_job) == []
    assert "导出订单" in await (await sign_in("boss", "老板", "administrator")).get("/console/audit?module=orders")
    refused = {("pdf", ""): (404, "没有这种文件"), ("csv", "since=昨天"): (422, "下单时间要写日期")}
    for (suffix, query), (status, says) in refused.items():
        found, body = await take(suffix, query)
        assert (found, says in body.decode()) == (status, True), query
    only_sees = made_of("looker", "看单", ["orders:view"], "all", [])
    await world.services.db.write(save_role, only_sees, by="x", now=world.clock.now())
    looker = await sign_in("wangwei", "王伟", "looker")
    assert "导出 Excel" not in await looker.get(LIST)
    assert "导出 Excel" in await manager.get(LIST)
    assert (await take("csv", "", looker))[0] == 403


async def test_many_orders_are_written_behind_and_only_whom_they_concern_has_the_file(
    world: World, manager: Visitor, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_orders(world)
    monkeypatch.setattr(order_export, "_CHUNK", 2)
    monkeypatch.setattr(page_of_orders, "MOST_AT_ONCE", 2)
    boss = await sign_in("boss", "老板", "administrator")

    async def begin(visitor: Visitor, suffix: str = "csv", **fields: str) -> str:
        response = await visitor.send(f"{LIST}/export", suffix=suffix, **fields)
        assert response.status == 303, await response.text()
        return response.headers["Location"]

    async def file_of(path: str, visitor: Visitor = manager) -> tuple[int, bytes]:
        response = await world.client.get(f"{path}/export", headers=visitor.cookie)
        return response.status, await response.read()

    path = await begin(manager, once="form-1")
    assert await begin(manager, once="form-1") == path  # sent twice
    # The days are those of the moment it was asked for.
    world.clock.advance(days=1)
    assert "进行中" in await manager.get(path)
    assert (await file_of(path))[0] == 404
    await run_bulk(world)
    page = await manager.get(path)
    for words in ("已完成", "订单 9", "下载文件", "文件保留 7 天"):
        assert words in page, words
    status, body = await file_of(path)
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert (status, [row["订单号"] for row in rows]) == (200, [f"2026-{n:04}" for n in range(1, 10)])
    poll = await world.client.get(path, headers={**manager.cookie, "HX-Request": "true"})
    assert poll.headers["HX-Refresh"] == "true"
    # It is a file of orders and no work on customers, and the log says who asked for what and who fetched it.
    assert (await manager.get(path.replace("orders/files", "customers/bulk"))).status == 404
    assert "还没有批量操作" in await manager.get("/console/customers/bulk")
    log = await boss.get("/console/audit?module=orders")
    assert "导出订单" in log
    assert "下载导出的文件" in log
    assert path in log.links
    # A phone is not kept in the clear; nobody sees beyond their reach, nor others' files.
    vault, now = world.services.vault, world.clock.now()
    await world.services.db.write(profiles.add_phone, 3, "+8613800136620", vault=vault, source="staff", now=now)
    monkeypatch.setattr(page_of_orders, "MOST_AT_ONCE", 0)
    by_phone = await begin(manager, query="q=13800136620")
    assert "13800136620" not in str((await world.rows(bulk_job))[-1])
    await run_bulk(world)
    assert "手机号" in await manager.get(by_phone)
    assert (await file_of(by_phone))[1].decode().splitlines()[1].startswith("2026-0003")

    def role(conn: Connection) -> None:
        own = made_of("shop", "店长", ["orders:view", "orders:export"], "own", [])
        save_role(conn, own, by="x", now=world.clock.now())

    await world.services.db.write(role)
    lina = await sign_in("lina", "李娜", "shop")
    assert (await lina.get(path)).status == 403
    assert (await file_of(path, lina))[0] == 403
    assert "陈岚" not in await lina.get(f"{LIST}/files")
    assert "陈岚" in await boss.get(f"{LIST}/files")
    theirs = await begin(lina, "xlsx")
    await run_bulk(world)
    _, body = await file_of(theirs, lina)
    grid = CalamineWorkbook.from_filelike(io.BytesIO(body)).get_sheet_by_index(0).to_python()
    assert [row[0] for row in grid[1:]] == ["2026-0001", "2026-0003", "2026-0005", "2026-0007"]
    # Too many, cancelled before it began, a week later.
    monkeypatch.setattr(order_export, "MOST", 3)
    too_many = await begin(manager)
    await run_bulk(world)
    assert "请缩短下单时间" in await manager.get(too_many)
    monkeypatch.setattr(order_export, "MOST", 1000)
    stopped = await begin(manager, query="paid_from=100&state=paid&channel=jd")
    for words in ("已付款", "京东", "实付 100 元起"):
        assert words in await manager.get(f"{LIST}/files"), words
    assert (await manager.post(f"{stopped}/cancel")).status == 303
    await run_bulk(world)
    assert "没有留下文件" in await manager.get(stopped)
    assert (await manager.post(f"{stopped}/cancel")).status == 409
    world.clock.advance(days=8)
    await tick(world.services)
    assert (await file_of(path))[0] == 404
    assert "已经清理" in await manager.get(path)
