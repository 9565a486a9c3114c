"""任务队列: what stopped, why, and the buttons that try it again or let it go."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, String, cast, literal

from scrm.audit import audit_entry
from scrm.console.system import repairs
from scrm.errors import Invalid
from scrm.services import Services
from scrm.wecom.errors import WeComError
from scrm.work import queue
from scrm.work.models import DEAD, WAITING, work_item
from scrm.work.reasons import explain
from tests.console.conftest import Visitor
from tests.world import World


async def test_dead_work_comes_to_life_by_the_button(manager: Visitor, world: World) -> None:
    item_id = await _bury(world)
    page = await manager.get("/console/work")
    assert "事件触发剧本" in page
    assert "KeyError: 'channel'" in page
    assert "停止 1" in page
    response = await manager.post(f"/console/work/{item_id}/retry")
    assert response.status == 303
    (row,) = await world.rows(work_item, work_item.c.id == item_id)
    assert (row.state, row.attempts) == (WAITING, 0)


async def test_only_dead_work_can_be_revived(manager: Visitor, world: World) -> None:
    item_id = await _bury(world)
    await manager.post(f"/console/work/{item_id}/retry")
    response = await manager.post(f"/console/work/{item_id}/retry")
    assert response.status == 404
    assert "已经重新开始，或者不存在" in await response.text()


async def _bury(
    world: World, kind: str = "sop.event", error: str = "KeyError: 'channel'", dedupe_key: str | None = None
) -> int:
    now = world.clock.now()

    def work(conn: Connection) -> Any:
        wanted = queue.Item(lane="event", kind=kind, payload={"event_id": 1}, dedupe_key=dedupe_key)
        queue.add(conn, wanted, now=now)
        (item,) = queue.claim(conn, "event", now=now)
        queue.bury(conn, item.id, error=error)
        return item.id

    item_id = int(await world.services.db.write(work))
    (row,) = await world.rows(work_item, work_item.c.id == item_id)
    assert row.state == DEAD
    return item_id


async def test_one_kind_is_retried_together_and_the_others_stay(manager: Visitor, world: World) -> None:
    mine = [await _bury(world) for _ in range(3)]
    other = await _bury(world, kind="sop.remind", error="WeComError: message/send: 60020 not allow from ip: 1.2.3.4")
    page = await manager.get("/console/work?kind=sop.remind")
    assert "企业微信返回错误 60020" in page
    assert "到“体检”重新检查" in page
    assert "KeyError" not in page
    response = await manager.send("/console/work/retry", kind="sop.event")
    assert response.headers["Location"] == "/console/work?revived=3"
    states = {row.id: row.state for row in await world.rows(work_item)}
    assert [states[each] for each in mine] == [WAITING] * 3
    assert states[other] == DEAD
    assert (await manager.send("/console/work/retry", kind="sop.event")).status == 404


async def test_what_dies_or_is_held_again_while_all_are_retried_is_tried_once(manager: Visitor, world: World) -> None:
    tried = list[int]()
    refused: dict[str, Exception] = {"odd": Invalid("还是不行"), "held": WeComError(60020, path="externalcontact/get")}

    async def fail(services: Services, item: queue.Claimed) -> None:
        assert len(tried) < 20, "again and again"
        tried.append(item.id)
        raise refused[item.kind]

    worker, db = world.services.worker, world.services.db
    worker.prepare(world.services, {"odd": fail, "held": fail})
    odd, held = [[await _bury(world, kind=kind) for _ in range(3)] for kind in ("odd", "held")]
    is_held = work_item.update().where(work_item.c.kind == "held").values(held=True)
    await db.write(lambda conn: conn.execute(is_held) and None)
    write = db.write

    async def write_then_work(work: Any, *args: Any, **more: Any) -> Any:
        """The worker is at once behind each button."""
        done = await write(work, *args, **more)
        if work in (repairs._revive, queue.revive_many):
            await worker.drain()
        return done

    object.__setattr__(db, "write", write_then_work)
    response = await manager.send("/console/work/retry", kind="odd")
    assert (response.headers["Location"], tried) == ("/console/work?revived=3", odd)
    response = await manager.send("/console/work/resume")
    assert (response.headers["Location"], tried[3:]) == ("/console/work?resumed=3", held)
    rows = await world.rows(work_item)
    assert {(row.kind, row.state, row.held) for row in rows} == {("odd", DEAD, False), ("held", DEAD, True)}
    page = await manager.get("/console/work?kind=odd")
    assert "还是不行" in page


async def test_a_discarded_item_is_gone_and_the_log_says_who_did_it(manager: Visitor, world: World) -> None:
    item_id = await _bury(world)
    assert "找不回来" in await manager.get("/console/work")
    response = await manager.post(f"/console/work/{item_id}/discard")
    assert "已丢弃" in await manager.get(response.headers["Location"])
    assert await world.rows(work_item, work_item.c.id == item_id) == []
    (row,) = await world.rows(audit_entry, audit_entry.c.entity == "work_item")
    assert (row.actor, row.key, row.words) == ("chenlan", str(item_id), "任务队列：丢弃任务")
    assert row.before["kind"] == "sop.event"
    assert (await manager.post(f"/console/work/{item_id}/discard")).status == 404


async def test_work_that_was_asked_for_again_meanwhile_does_not_run_twice(manager: Visitor, world: World) -> None:
    item_id = await _bury(world, dedupe_key="once")
    again = queue.Item(lane="event", kind="sop.event", payload={"event_id": 1}, dedupe_key="once")
    assert await world.services.db.write(queue.add, again, now=world.clock.now())
    assert (await manager.post(f"/console/work/{item_id}/retry")).status == 303
    (row,) = await world.rows(work_item)
    assert row.id != item_id


async def test_a_lane_tells_its_depth_and_its_oldest(manager: Visitor, world: World) -> None:
    await world.services.db.write(queue.add, queue.Item(lane="bulk", kind="tags.mark"), now=world.clock.now())
    world.clock.advance(minutes=5)
    assert "最早一个" in await manager.get("/console/work")


async def test_what_fails_and_is_tried_again_says_why_before_it_is_a_dead_letter(
    manager: Visitor, world: World
) -> None:
    def fail(conn: Connection) -> None:
        for number in range(3):
            queue.add(conn, queue.Item(lane="bulk", kind="tags.mark", payload={"n": number}), now=world.clock.now())
        # WeCom gives each refusal a number of its own.
        busy = literal("WeComError: externalcontact/mark_tag: 45009 api freq out of limit, hint: [") + cast(
            work_item.c.id, String
        )
        due_at = world.clock.now() + timedelta(minutes=9)
        conn.execute(work_item.update().values(attempts=1, last_error=busy, due_at=due_at))

    assert "正在自动重试" not in await manager.get("/console/work")
    await world.services.db.write(fail)
    page = await manager.get("/console/work")
    assert "失败了，正在自动重试" in page
    assert "3 企业微信返回错误 45009：企微接口繁忙" in page
    assert "3 个失败了在自动重试" in await manager.get("/console/operations")


@pytest.mark.parametrize(
    ("error", "reason", "mend"),
    [
        ("", "没有留下原因", "重试一次"),
        ("WeComUnreachable: message/send: timeout", "连不上企业微信", "网络恢复后"),
        ("WeComError: externalcontact/get: 84061 not external contact", "84061", "一般可以丢弃"),
        ("Invalid: 券批次已经停用", "券批次已经停用", "按上面的说明"),
        ("LookupError: nobody does work of kind 'x'", "不认识这种任务", "丢弃"),
        ("TryAgain: HTTP 503", "HTTP 503", "对方系统"),
        ("ZeroDivisionError: division by zero", "程序出错：ZeroDivisionError", "发给开发者"),
    ],
)
def test_every_error_is_a_reason_and_something_to_do(error: str, reason: str, mend: str) -> None:
    advice = explain(error)
    assert reason in advice.reason
    assert mend in advice.mend
