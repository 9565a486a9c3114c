"""回调 and 任务队列: shown word for word, and tried again by a button."""

from typing import Any

from sqlalchemy import Connection, update

from scrm.callbacks.models import inbox_event
from scrm.work import queue
from scrm.work.models import DEAD, WAITING, work_item
from tests.console.conftest import Visitor
from tests.fakes import wecom as fake
from tests.world import World

UNKNOWN = (
    "<xml><ToUserName>ww</ToUserName><CreateTime>1772416800</CreateTime><MsgType>event</MsgType>"
    "<Event>change_moon</Event><ChangeType>&lt;full&gt;</ChangeType></xml>"
)


async def test_an_unknown_callback_is_kept_word_for_word(manager: Visitor, world: World) -> None:
    await world.tell(UNKNOWN)
    await world.settle()
    page = await manager.get("/console/callbacks")
    assert "不认识的事件" in page
    assert "<Event>change_moon</Event>" in page.text
    assert "<Event>" not in page.html  # escaped


async def test_an_unreadable_callback_says_what_was_wrong(manager: Visitor, world: World) -> None:
    await world.tell("<xml><A>1</A></xml>")
    await world.settle()
    page = await manager.get("/console/callbacks")
    assert "无法解析" in page
    assert "重试" in page


async def test_a_failed_callback_runs_again_and_leaves_the_list(manager: Visitor, world: World) -> None:
    await world.add()

    def break_it(conn: Connection) -> None:
        conn.execute(update(inbox_event).values(state="failed", error="KeyError: 'channel'"))

    await world.services.db.write(break_it)
    page = await manager.get("/console/callbacks")
    assert "KeyError: 'channel'" in page
    (row,) = await world.rows(inbox_event)
    response = await manager.post(f"/console/callbacks/{row.id}/retry")
    assert response.headers["Location"] == f"/console/callbacks?queued={row.id}"
    await world.settle()
    page = await manager.get(response.headers["Location"])
    assert "已重新排队" in page
    assert "所有回调都处理好了" in page
    assert len(world.wecom.called("externalcontact/send_welcome_msg")) == 1


async def test_a_callback_that_was_handled_is_not_run_again(manager: Visitor, world: World) -> None:
    await world.add()
    (row,) = await world.rows(inbox_event)
    assert (await manager.post(f"/console/callbacks/{row.id}/retry")).status == 404
    assert await world.rows(work_item, work_item.c.kind == "callback") == []


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


async def _bury(world: World) -> int:
    now = world.clock.now()

    def work(conn: Connection) -> Any:
        queue.add(conn, queue.Item(lane="event", kind="sop.event", payload={"event_id": 1}), now=now)
        (item,) = queue.claim(conn, "event", now=now)
        queue.bury(conn, item.id, error="KeyError: 'channel'")
        return item.id

    item_id = int(await world.services.db.write(work))
    (row,) = await world.rows(work_item, work_item.c.id == item_id)
    assert row.state == DEAD
    return item_id


async def test_the_board_is_filtered_and_covers_what_is_private(manager: Visitor, world: World) -> None:
    secret = "<WelcomeCode><![CDATA[WC_secret]]></WelcomeCode><Content>我的电话</Content><Note>13812346620</Note>"
    await world.tell(UNKNOWN.replace("</xml>", f"{secret}</xml>"))
    await world.tell("<xml><A>1</A></xml>")
    await world.settle()
    page = await manager.get("/console/callbacks?state=unknown")
    assert "<WelcomeCode><![CDATA[••••]]></WelcomeCode><Content>••••</Content><Note>138****6620</Note>" in page.text
    assert "无法识别" not in page
    assert "没有这一类回调" in await manager.get("/console/callbacks?state=failed")
    assert "change_moon" not in await manager.get("/console/callbacks?state=unreadable")


async def test_what_was_handled_or_only_counted_is_summed_up_with_the_reason(manager: Visitor, world: World) -> None:
    await world.add()
    await world.tell(fake.event_xml("", created_at=1772416800, event="LOCATION", Latitude="23.1"))
    await world.settle()
    page = await manager.get("/console/callbacks?state=handled")
    assert "添加客户" in page
    assert "只计数：不收集员工的位置" in page
