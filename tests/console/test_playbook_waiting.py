"""谁在等什么: who waits at which step, until when and why; stopped or moved on by hand, and taken back."""

from typing import Any

import aiohttp
from sqlalchemy import Connection, event, update

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.audit import audit_entry
from scrm.sop.life import drafts
from scrm.sop.life.published import By
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.reasons import waiting
from scrm.sop.shelf import playbooks_of, terms_of
from tests.console.conftest import Page, SignIn, Visitor
from tests.world import ANING, XIAOMAN, World

OF = "/console/playbooks/new-customer"
SECOND = """
playbook: second
title: 老客关怀
priority: P4
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: none
steps:
  - {id: care, title: 问候, at: D+1 10:00-11:00, channel: T, late: defer, ttl: 24h, content: {text: 您好}}
"""


async def press(visitor: Visitor, path: str, **fields: str) -> Page:
    headers = {**visitor.cookie, "X-CSRF": visitor.csrf, "HX-Request": "true"}
    response = await visitor.world.client.post(path, data=aiohttp.FormData(fields), headers=headers)
    return Page(response.status, await response.text())


async def run_of(world: World, **only: str) -> Any:
    runs = await world.rows(enrolment)
    return next(run for run in runs if all(getattr(run, name) == value for name, value in only.items()))


async def publish(world: World, text: str, key: str) -> None:
    def write(conn: Connection) -> None:
        drafts.save(conn, key, text, "chenlan", now=world.clock.now())
        outcome = drafts.publish(conn, key, By("chenlan", "console"), terms_of(world.services), now=world.clock.now())
        assert outcome.state == "published"
        playbooks_of(world.services).refresh(conn)

    await world.services.db.write(write)


async def test_the_number_at_a_step_opens_the_people_behind_it(manager: Visitor, world: World) -> None:
    await world.add()
    await world.add(ANING)
    for page in (await manager.get(OF), await manager.get(f"{OF}/board")):
        assert f"{OF}/waiting?step=remind" in page.links
    page = await manager.get(f"{OF}/waiting?step=remind")
    for words in ("小满", "阿宁", "新人券快到期，提醒一声", "跳过这一步", "停止", "03-05 1"):
        assert words in page, words
    assert "现在没有客户等在这里" in await manager.get(f"{OF}/waiting?step=close")
    assert "现在没有暂停的客户" in await manager.get(f"{OF}/waiting?state=paused")
    run = await run_of(world, external_userid=XIAOMAN)
    assert f"/console/why?playbook=new-customer&person={run.person_id}" in page.links
    assert (await manager.get("/console/playbooks/nothing/waiting")).status == 404


async def test_a_run_is_stopped_with_its_task_and_goes_on_when_that_is_taken_back(
    manager: Visitor, world: World
) -> None:
    await world.add()
    await world.pass_time(days=3, hours=4)
    run = await run_of(world)
    of_run = f"{OF}/runs/{run.id}"
    stopped = await press(manager, f"{of_run}/stop")
    assert "已停止，没发的待办已撤回" in stopped
    ended = await run_of(world)
    assert (ended.state, ended.ended_reason, ended.due_at) == ("exited", "陈岚停止了这次跟进", None)
    (mine,) = await world.rows(task, task.c.playbook_key == "new-customer")
    assert (mine.state, mine.reason) == ("withdrawn", "陈岚停止了这次跟进，任务已撤回。")
    assert "已经走完或退出了" in await press(manager, f"{of_run}/stop")
    await press(manager, f"{of_run}/undo")
    again = await run_of(world)
    assert (again.state, again.step, again.due_at, again.ended_at) == ("active", run.step, run.due_at, None)
    (mine,) = await world.rows(task, task.c.playbook_key == "new-customer")
    assert mine.state == "open"
    kept = [row.words for row in await world.rows(audit_entry, audit_entry.c.entity == "playbook_run")]
    assert kept == ["剧本 SOP：停止一位客户的运行", "剧本 SOP：撤销对一位客户的操作"]


async def test_after_ten_minutes_or_a_second_playbook_nothing_is_taken_back(manager: Visitor, world: World) -> None:
    await publish(world, SECOND, "second")
    await world.add()
    run = await run_of(world, playbook_key="new-customer")
    await press(manager, f"{OF}/runs/{run.id}/stop")
    await world.services.db.write(
        lambda conn: conn.execute(update(enrolment).where(enrolment.c.state == "queued").values(state="active"))
    )
    assert "已经开始走另一个剧本" in await press(manager, f"{OF}/runs/{run.id}/undo")
    world.clock.advance(minutes=11)
    assert "只能在 10 分钟内撤销" in await press(manager, f"{OF}/runs/{run.id}/undo")
    assert (await run_of(world, playbook_key="new-customer")).state == "exited"


async def test_a_step_is_left_out_and_comes_after_all_when_that_is_taken_back(manager: Visitor, world: World) -> None:
    await world.add()
    run = await run_of(world)
    of_run = f"{OF}/runs/{run.id}"
    assert "已经不在这一步" in await press(manager, f"{of_run}/skip", step="close")
    skipped = await press(manager, f"{of_run}/skip", step="remind")
    assert "已跳过“新人券快到期，提醒一声”" in skipped
    assert "七天未下单，转入日常" in skipped
    assert "陈岚跳过了这一步" in await manager.get(f"/console/why?playbook=new-customer&person={run.person_id}")
    assert "跳过这一步" in await press(manager, f"{of_run}/undo")
    await world.pass_time(days=3, hours=4)
    (mine,) = await world.rows(task, task.c.playbook_key == "new-customer")
    assert (mine.step_id, mine.state) == ("remind", "open")
    states = [row.state for row in await world.rows(step_run, step_run.c.step_id == "remind")]
    assert sorted(states) == ["skipped", "waiting"]


async def test_who_queues_is_told_the_run_that_is_before_him(manager: Visitor, world: World) -> None:
    await publish(world, SECOND, "second")
    await world.add()
    run = await run_of(world, playbook_key="second")
    assert run.state == "queued"
    words = "排在“新客欢迎与首单”后面，它下一步是“新人券快到期，提醒一声”"
    assert words in await manager.get("/console/playbooks/second/waiting?state=queued")
    assert words in await manager.get(f"/console/why?playbook=second&person={run.person_id}")


async def test_only_the_readers_own_customers_are_listed_and_stopped(world: World, sign_in: SignIn) -> None:
    own = made_of("own", "自己的", ("playbooks:edit",), "own", ())
    await world.services.db.write(save_role, own, by="boss", now=world.clock.now())
    world.wecom.add_contact(ANING, "阿宁", "wanghao")
    await world.add(XIAOMAN, "lina")
    await world.add(ANING, "wanghao")
    wanghao = await sign_in("wanghao", "王皓", "own")
    page = await wanghao.get(f"{OF}/waiting?step=remind")
    assert "阿宁" in page
    assert "小满" not in page
    theirs = await run_of(world, external_userid=XIAOMAN)
    assert (await press(wanghao, f"{OF}/runs/{theirs.id}/stop")).status == 403
    assert (await press(wanghao, f"{OF}/runs/999999/stop")).status == 404
    assert (await run_of(world, external_userid=XIAOMAN)).state == "active"


async def test_a_list_goes_on_page_by_page_along_the_index(world: World) -> None:
    await world.add()
    await world.add(ANING)
    published = playbooks_of(world.services)
    said: list[tuple[str, Any]] = []

    def look(conn: Connection, after: int, place: str) -> waiting.Found:
        def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            said.append((statement, parameters))

        event.listen(conn, "before_cursor_execute", hear)
        found = waiting.list_waiting(conn, published, "new-customer", state="active", place=place, after=after, limit=1)
        event.remove(conn, "before_cursor_execute", hear)
        return found

    async def page(after: int, place: str = "remind") -> waiting.Found:
        return await world.services.db.read(look, after, place)

    first = await page(0)
    assert first.after is not None
    second = await page(first.after)
    assert [len(each.runs) for each in (first, second)] == [1, 1]
    assert (second.after, first.runs[0].id < second.runs[0].id) == (None, True)
    assert (await page(0, "close")).runs == []
    assert (await page(0, "nowhere")).runs == ()
    everywhere = await page(0, "")
    assert (everywhere.runs[0].id, everywhere.after) == (first.runs[0].id, first.after)
    if world.services.db.is_sqlite:
        # The first statement that asks for this part is answered by the index alone.
        statement, given = next(each for each in said if "UNION" in each[0] or "enrolment.version = " in each[0])
        plan = await world.services.db.read(
            lambda conn: conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
        )
        told = "\n".join(str(row[-1]) for row in plan)
        assert "COVERING INDEX ix_enrolment_place (playbook_key=? AND state=?" in told, told
        assert "TEMP B-TREE" not in told.partition("COVERING")[2].partition("enrolment USING INTEGER")[0], told
