"""企业微信回调: what came is found, read, and handled once more, one or many."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from scrm.audit import audit_entry
from scrm.callbacks import replay, search, sweep
from scrm.callbacks.models import callback_replay, inbox_event, inbox_failure
from scrm.callbacks.search import Wanted
from scrm.events import event
from scrm.privacy.erase import erase
from scrm.profiles.models import external_contact
from scrm.sop.models import enrolment, send
from scrm.work.models import work_item
from tests.console.conftest import SignIn, Visitor
from tests.fakes import wecom as fake
from tests.fakes.deaths import retry_dead
from tests.plans import plan_of, plans_of
from tests.world import ANING, XIAOMAN, World

UNKNOWN = (
    "<xml><ToUserName>ww</ToUserName><CreateTime>1772416800</CreateTime><MsgType>event</MsgType>"
    "<Event>change_moon</Event><ChangeType>&lt;full&gt;</ChangeType></xml>"
)
SECRET = "<WelcomeCode><![CDATA[WC_secret]]></WelcomeCode><Content>我的电话</Content><Note>13812346620</Note>"


@pytest.fixture
async def owner(sign_in: SignIn) -> Visitor:
    return await sign_in("boss", "老板", "administrator")


async def test_callbacks_are_found_by_kind_customer_member_state_and_day(manager: Visitor, world: World) -> None:
    await world.add()
    await world.add(ANING)
    await world.tell(UNKNOWN)
    await world.settle()
    first, second, third = await world.rows(inbox_event)
    assert (first.external_userid, first.userid, first.tries) == (XIAOMAN, "lina", 1)
    today = f"{world.clock.now().astimezone(world.services.settings.shop.zone):%Y-%m-%d}"
    for query, expected in {
        "": {first.id, second.id, third.id},
        f"?contact={XIAOMAN}": {first.id},
        "?member=lina": {first.id, second.id},
        "?kind=change_external_contact:add_external_contact&state=done": {first.id, second.id},
        "?state=odd": {third.id},
        "?state=unknown": {third.id},
        "?state=failed": set(),
        f"?since={today}&until={today}&contact={ANING}": {second.id},
        "?since=2020-01-01&until=2020-01-02": set(),
        "?since=2090-01-01": set(),
        f"?before={third.id}&state=done": {first.id, second.id},
    }.items():
        page = await manager.get(f"/console/callbacks{query}")
        assert page.status == 200
        shown = {each.id for each in (first, second, third) if f"/console/callbacks/{each.id}" in page.links}
        assert shown == expected, query
    assert "小满" in await manager.get("/console/callbacks")
    assert "没有符合条件的回调" in await manager.get("/console/callbacks?state=failed")
    assert "日期“gestern”看不懂" in await manager.get("/console/callbacks?since=gestern")


async def test_a_list_goes_on_from_a_key_and_says_when_it_stopped_looking(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    await world.settle()
    rows = await world.rows(inbox_event)
    read = world.services.db.read
    found = await read(search.list_callbacks, Wanted(state="odd"), limit=2)
    assert ([row.id for row in found.rows], found.before) == ([rows[2].id, rows[1].id], rows[1].id)
    found = await read(search.list_callbacks, Wanted(state="odd"), before=found.before, limit=2)
    assert ([row.id for row in found.rows], found.before) == ([rows[0].id], None)
    monkeypatch.setattr(search, "WINDOW", 2)
    found = await read(search.list_callbacks, Wanted(state="done"), limit=2)
    assert (found.rows, found.before, found.is_cut) == ([], rows[1].id, True)


async def test_a_page_tells_all_of_a_callback_and_covers_what_is_private(
    manager: Visitor, sign_in: SignIn, world: World
) -> None:
    await world.add()
    await world.tell(UNKNOWN.replace("</xml>", f"{SECRET}</xml>"))
    await world.tell("<xml><A>1</A></xml>")
    await world.settle()
    added, unknown, unreadable = await world.rows(inbox_event)
    page = await manager.get(f"/console/callbacks/{added.id}")
    for words in ("添加客户", "小满", "成功", "添加了员工", "1 次", "0.0 秒后", "已发送 欢迎语", "进行中 剧本"):
        assert words in page, words
    run = next(row for row in await world.rows(enrolment) if row.playbook_key == "new-customer")
    assert f"/console/why?playbook=new-customer&amp;person={run.person_id}" in page.html
    operator = await sign_in("yunying", "运营小周", "operator")
    page = await operator.get(f"/console/callbacks/{unknown.id}")
    assert "不认识的事件" in page
    assert "<WelcomeCode><![CDATA[••••]]></WelcomeCode><Content>••••</Content><Note>138****6620</Note>" in page.text
    assert "<Event>" not in page.html  # escaped
    assert "查看原文" not in page  # an operator may not
    assert "内容看不懂" in await manager.get(f"/console/callbacks/{unreadable.id}")
    assert (await manager.get("/console/callbacks/999999")).status == 404


async def test_the_body_is_clear_for_those_who_may_with_a_reason_that_is_logged(
    owner: Visitor, sign_in: SignIn, world: World
) -> None:
    await world.tell(UNKNOWN.replace("</xml>", f"{SECRET}</xml>"))
    await world.settle()
    (row,) = await world.rows(inbox_event)
    path = f"/console/callbacks/{row.id}/reveal"
    refused = await (await sign_in("yunying", "运营小周", "operator")).send(path, reason="看一看")
    assert refused.status == 403
    assert "13812346620" not in await refused.text()
    without = await owner.send(path, reason=" ")
    assert "请填写查看原因" in await without.text()
    clear = await owner.send(path, reason="核对漏掉的欢迎语")
    assert "13812346620" in await clear.text()
    assert clear.headers["Cache-Control"] == "no-store"
    assert "13812346620" not in (await owner.get(f"/console/callbacks/{row.id}")).html
    kept = await world.rows(audit_entry, audit_entry.c.entity == "callback")
    assert [(one.actor, one.act, one.after["reason"]) for one in kept] == [("boss", "reveal", "核对漏掉的欢迎语")]


async def test_a_failed_callback_keeps_each_failure_and_runs_again(manager: Visitor, world: World) -> None:
    await world.add()
    (row,) = await world.rows(inbox_event)

    def break_it(conn: Connection) -> None:
        conn.execute(update(inbox_event).values(state="failed", error="KeyError: 'channel'", tries=2))
        for error in ("KeyError: 'channel'", "TimeoutError: "):
            conn.execute(inbox_failure.insert().values(inbox_id=row.id, at=world.clock.now(), error=error))

    await world.services.db.write(break_it)
    page = await manager.get(f"/console/callbacks/{row.id}")
    assert "失败过的尝试" in page
    assert "TimeoutError" in page
    response = await manager.post(f"/console/callbacks/{row.id}/replay")
    assert "已重新排队" in await manager.get(response.headers["Location"])
    assert (await manager.post(f"/console/callbacks/{row.id}/replay")).status == 404  # it waits
    await world.settle()
    (row,) = await world.rows(inbox_event)
    assert (row.state, row.tries) == ("done", 3)
    assert "所有回调都处理好了" in await manager.get("/console/callbacks?state=odd")


async def test_a_handler_that_fails_leaves_a_line_for_each_try(world: World) -> None:
    await world.tell(
        fake.event_xml("add_external_contact", created_at=1772416800, UserID="lina", ExternalUserID=XIAOMAN)
    )
    (row,) = await world.rows(inbox_event)

    from scrm.callbacks import inbox

    for error in ("A: 1", "B: 2"):
        failed = inbox.Outcome(row.id, "failed", "e", "c", world.clock.now(), error)
        await world.services.db.together(inbox.record_many, failed)
    await world.services.db.together(inbox.record_many, inbox.Outcome(row.id, "done", "e", "c", world.clock.now()))
    assert [one.error for one in await world.rows(inbox_failure)] == ["A: 1", "B: 2"]
    (row,) = await world.rows(inbox_event)
    assert (row.state, row.tries, row.error) == ("done", 3, "")


async def test_a_range_is_replayed_in_the_background_and_changes_nothing_twice(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PART", 2)
    await world.add()
    await world.add(ANING)
    await world.lose(external_userid=ANING)
    before = await _state(world)
    today = f"{world.clock.now().astimezone(world.services.settings.shop.zone):%Y-%m-%d}"
    assert "重放 3 条回调？" in await manager.get(f"/console/callbacks?since={today}&ask")
    assert "请先选开始日期" in await manager.get("/console/callbacks?member=lina&ask")
    response = await manager.send("/console/callbacks/replay", since=today)
    assert response.status == 303
    assert (await manager.send("/console/callbacks/replay", since=today)).status == 409
    assert "正在重放" in await manager.get("/console/callbacks")
    (job,) = await world.rows(callback_replay)
    assert 'hx-trigger="every 1s"' in (await manager.get(f"/console/callbacks/replays/{job.id}")).html
    for _ in range(6):
        await world.pass_time(seconds=1)
    (job,) = await world.rows(callback_replay)
    assert (job.state, job.done, job.total, job.asked_by) == ("done", 3, 3, "chenlan")
    assert "重放完成" in await manager.get("/console/callbacks")
    assert [(row.state, row.tries) for row in await world.rows(inbox_event)] == [("done", 2)] * 3
    assert await _state(world) == before
    assert await world.rows(audit_entry, audit_entry.c.entity == "callback_replay") != []


async def _state(world: World) -> dict[str, Any]:
    """All that a second handling could double."""
    return {
        "welcomes": len(world.wecom.called("externalcontact/send_welcome_msg")),
        "events": sorted(row.name for row in await world.rows(event)),
        "enrolments": len(await world.rows(enrolment)),
        "sends": len(await world.rows(send)),
    }


async def test_a_replay_goes_on_after_a_crash_and_can_be_stopped(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PART", 1)
    for number in range(3):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    await world.settle()
    await manager.send("/console/callbacks/replay", state="odd")
    await world.settle()
    # The process dies after the part was put to work: the item comes back with the old turn.
    (item,) = await world.rows(work_item, work_item.c.kind == replay.KIND)
    old = {**item.payload, "turn": 0, "part": []}
    await world.services.db.write(replay._step, old, [], world.clock.now() - timedelta(seconds=1))
    (job,) = await world.rows(callback_replay)
    await manager.post(f"/console/callbacks/replays/{job.id}/stop")
    for _ in range(3):
        await world.pass_time(seconds=1)
    assert {row.state for row in await world.rows(inbox_event)} == {"unknown"}
    assert await world.rows(work_item, work_item.c.kind == replay.KIND) == []


async def test_old_callbacks_are_swept_and_what_waits_or_came_first_stays(world: World) -> None:
    await world.add()
    for number in range(3):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    await world.add(ANING)
    rows = await world.rows(inbox_event)
    await world.tell(UNKNOWN.replace("1772416800", "1772416809"))  # waits
    keep = world.services.settings.retention
    world.clock.advance(seconds=timedelta(days=keep.callback_days, hours=1).total_seconds())
    assert await sweep.tick(world.services) == 1
    left = {row.id for row in await world.rows(inbox_event)}
    assert rows[4].id not in left
    assert rows[0].id in left
    assert len(left) == 5
    world.clock.advance(seconds=timedelta(days=keep.odd_callback_days).total_seconds())
    assert await sweep.tick(world.services) == 3
    assert [row.state for row in await world.rows(inbox_event)] == ["done", "new"]


async def test_a_forgotten_customer_leaves_no_trace_in_the_recorder(manager: Visitor, world: World) -> None:
    await world.add()
    (contact,) = await world.rows(external_contact, external_contact.c.external_userid == XIAOMAN)
    await erase(world.services, contact.person_id, actor="test")
    (row,) = await world.rows(inbox_event)
    assert (row.external_userid, bytes(row.body)) == ("", b"<xml></xml>")
    assert "原文已删除" in await manager.get(f"/console/callbacks/{row.id}")
    assert (await manager.post(f"/console/callbacks/{row.id}/replay")).status == 404


async def test_what_was_handled_or_only_counted_is_summed_up_with_the_reason(manager: Visitor, world: World) -> None:
    await world.add()
    await world.tell(fake.event_xml("", created_at=1772416800, event="LOCATION", Latitude="23.1"))
    await world.settle()
    page = await manager.get("/console/callbacks?state=handled")
    assert "添加客户" in page
    assert "只计数：不收集员工的位置" in page


async def test_searches_use_their_indexes(world: World) -> None:
    """At ten million rows neither a search nor the page of one may read the tables."""
    for wanted, index in (
        (Wanted(contact="wm1"), "ix_inbox_event_external_userid"),
        (Wanted(member="lina", state="done"), "ix_inbox_event_userid"),
        (Wanted(kind="change_external_contact:add_external_contact"), "ix_inbox_event_name"),
        (Wanted(state="odd"), "ix_inbox_event_odd"),
    ):
        assert index in await world.services.db.write(plan_of, _searched(wanted)), wanted
    await world.add()
    row = (await world.rows(inbox_event))[-1]
    looks = (search.list_told, search.list_sends, search.list_runs)
    plans = [await world.services.db.write(_plan_for, look, row) for look in looks]
    for plan, index in zip(plans, ("ix_event_person", "ix_send_contact", "ix_enrolment_person_id"), strict=True):
        assert index in plan
        assert not re.search(r"(SCAN|Seq Scan on) (event|send|enrolment)\b", plan)


def _searched(wanted: Wanted) -> Any:
    served, _ = search._conditions(wanted)
    return select(inbox_event.c.id).where(*served).order_by(inbox_event.c.id.desc()).limit(50)


def _plan_for(conn: Connection, look: Any, row: Any) -> str:
    (plan,) = plans_of(conn, lambda conn: look(conn, row))
    return plan


async def test_what_is_swept_or_arrives_while_a_range_is_replayed_is_no_part_of_it_and_holds_nothing_up(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PART", 1)
    for number in range(4):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    await world.settle()
    await manager.send("/console/callbacks/replay", state="odd")
    await world.settle()
    world.clock.advance(seconds=timedelta(days=world.services.settings.retention.odd_callback_days).total_seconds() + 1)
    await world.tell(UNKNOWN.replace("1772416800", "1772416809"))
    assert await sweep.tick(world.services) == 3  # the first of all stays
    for _ in range(4):
        await world.pass_time(seconds=1)
    (job,) = await world.rows(callback_replay)
    assert (job.state, job.done, job.total) == ("done", 4, 4)
    assert [(row.state, row.tries) for row in await world.rows(inbox_event)] == [("unknown", 2), ("unknown", 1)]
    assert await world.rows(work_item) == []


async def test_a_callback_that_is_not_kept_any_more_fails_neither_itself_nor_its_neighbours(world: World) -> None:
    """It failed, was older than failed ones are kept, and went before its next try."""
    for number in range(3):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    first, gone, last = await world.rows(inbox_event)
    await world.services.db.write(
        lambda conn: conn.execute(inbox_event.delete().where(inbox_event.c.id == gone.id)) and None
    )
    await world.settle()
    kept = {row.id: (row.state, row.tries) for row in await world.rows(inbox_event)}
    assert kept == {first.id: ("unknown", 1), last.id: ("unknown", 1)}
    assert await world.rows(work_item) == []


async def test_who_is_forgotten_while_their_callback_waits_is_no_riddle_afterwards(
    manager: Visitor, world: World
) -> None:
    await world.add()
    (row,) = await world.rows(inbox_event)
    (contact,) = await world.rows(external_contact, external_contact.c.external_userid == XIAOMAN)
    await manager.post(f"/console/callbacks/{row.id}/replay")
    await erase(world.services, contact.person_id, actor="test")
    await world.settle()
    (row,) = await world.rows(inbox_event)
    assert (row.state, row.external_userid) == ("unused", "")
    assert (await manager.get(f"/console/callbacks/{row.id}")).status == 200
    assert "所有回调都处理好了" in await manager.get("/console/callbacks?state=odd")


async def test_a_replay_whose_work_died_does_not_seem_to_run_and_goes_on_where_it_was_after_a_retry(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "PART", 1)
    for number in range(3):
        await world.tell(UNKNOWN.replace("1772416800", f"177241680{number}"))
    await world.settle()
    await manager.send("/console/callbacks/replay", state="odd")
    await world.settle()

    def broken(*args: Any, **more: Any) -> list[int]:
        raise KeyError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(search, "list_replayable", broken)
        for seconds in (1, 2, 6, 31, 301):
            await world.pass_time(seconds=seconds)
    assert [row.tries for row in await world.rows(inbox_event)] == [2, 1, 1]
    page = await manager.get("/console/callbacks")
    assert "重放已停止" in page
    assert "从断处接着来" in page
    await retry_dead(world.services)
    assert "正在重放" in await manager.get("/console/callbacks")
    for _ in range(4):
        await world.pass_time(seconds=1)
    assert "重放完成" in await manager.get("/console/callbacks")
    assert [row.tries for row in await world.rows(inbox_event)] == [2, 2, 2]
