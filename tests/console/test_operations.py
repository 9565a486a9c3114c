"""运行一览: one page on which whatever is wrong stands first, with where to mend it."""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, update

from scrm.callbacks.models import inbox_event
from scrm.console import store
from scrm.sop.models import send
from scrm.sync.models import sync_run
from scrm.webhooks.store import add_webhook, change_webhook
from scrm.webhooks.wanted import Wanted
from scrm.work import queue
from scrm.work.models import work_item
from tests.console.conftest import Page, SignIn, Visitor
from tests.plans import plans_of
from tests.world import World


def line_of(page: Page, title: str) -> str:
    """The line of the table, as it is read."""
    _, _, rest = page.text.partition("没有设置的功能")[2].partition(f" {title} ")
    return rest[:80]


async def test_a_shop_where_all_is_well_says_so(manager: Visitor, world: World) -> None:
    await world.add()
    await world.services.db.write(_synced, world)
    page = await manager.get("/console/operations")
    assert page.status == 200
    assert line_of(page, "企业微信回调").startswith("正常 最近一条在")
    for title in ("任务队列", "欢迎语", "发送", "同步企业微信", "调用企业微信"):
        assert line_of(page, title).startswith("正常 "), title
    for title in ("订单拉取", "订单推送", "事件推送"):
        assert line_of(page, title).startswith("未使用 没有设置"), title


def _synced(conn: Connection, world: World) -> None:
    now = world.clock.now()
    conn.execute(insert(sync_run).values(source="members", state="done", started_at=now, finished_at=now))


async def test_each_trouble_is_told_first_with_where_to_mend_it(manager: Visitor, world: World) -> None:
    await world.add()
    await world.services.db.write(_break_everything, world)
    world.clock.advance(minutes=12)
    page = await manager.get("/console/operations")
    for title, tone, words, link in (
        ("任务队列", "要处理", "“剧本步骤”最早的已等 12 分钟；1 个任务停止了重试", "/console/work"),
        ("欢迎语", "要处理", "7 天内 1 位新客户没有收到", "/console/sends?kind=welcome&outcome=failed"),
        ("同步企业微信", "要处理", "部门与员工没有做完", "/console/sync"),
        ("事件推送", "要处理", "“ERP”已暂停", None),  # no business of a manager
        ("企业微信回调", "留意", "1 条没能处理", "/console/callbacks?state=odd"),
        ("发送", "留意", "7 天内 1 条结果未知；1 条发了 10 分钟还没有结果", "/console/sends?outcome=unknown"),
    ):
        assert line_of(page, title).startswith(f"{tone} {words}"), (title, line_of(page, title))
        assert link is None or link in page.links, title
    table = page.text.partition("没有设置的功能")[2]
    found = [table.index(f" {title} ") for title in ("欢迎语", "企业微信回调", "调用企业微信")]
    assert found == sorted(found)
    assert "排队 1 " not in page
    assert "执行中 0 · 最早的已等 12 分钟" in page


def _break_everything(conn: Connection, world: World) -> None:
    now = world.clock.now()
    queue.add(conn, queue.Item("step", "sop.remind", {}), now=now)
    queue.add(conn, queue.Item("send", "sop.remind", {"n": 2}), now=now)
    conn.execute(update(work_item).where(work_item.c.lane == "send").values(state=2, last_error="x"))
    for kind, outcome in (("welcome", "failed"), ("chat", "unknown"), ("chat", "intent")):
        conn.execute(insert(send).values(kind=kind, outcome=outcome, userid="lina", decided_at=now))
    failed = {"state": "failed", "started_at": now - timedelta(hours=1), "finished_at": now}
    conn.execute(insert(sync_run).values(source="members", **failed))
    hook = add_webhook(conn, Wanted("ERP", "https://erp.example.com", ("*",)), "", "", by="boss", now=now)
    change_webhook(conn, hook, state="paused", paused_why="对方停用")
    conn.execute(update(inbox_event).values(state="failed"))


async def test_the_page_is_quick_however_much_was_sent(world: World) -> None:
    """Each figure has an index of its own."""
    now = world.clock.now()
    for count, index in (
        (store.count_missed_welcomes, "ix_send_trouble|ix_send_missed_welcome"),
        (store.count_unknown_sends, "ix_send_trouble"),
        (store.count_stuck_sends, "ix_send_open"),
    ):
        assert re.search(index, await world.services.db.write(_plan, count, now))


def _plan(conn: Connection, count: Any, now: Any) -> str:
    (plan,) = plans_of(conn, lambda conn: count(conn, now))
    return plan


async def test_who_may_not_see_it_is_told_so(sign_in: SignIn) -> None:
    somebody = await sign_in("chen", "小陈", "member")
    assert (await somebody.get("/console/operations")).status == 403
