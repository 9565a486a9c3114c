"""批量操作: done with many, each with a result; broken off it goes on, and nothing is done twice."""

import csv
import io
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import Connection, update

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.audit import audit_entry
from scrm.customer_lists import bulk, bulk_acts, export
from scrm.customer_lists.bulk_acts import Errand
from scrm.customer_lists.bulk_store import KIND, Outcome
from scrm.customer_lists.models import bulk_item, bulk_job, pool_entry
from scrm.profiles.models import follow_user_tag, person, tag_wish
from scrm.sop.life.published import publish
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.transfers.models import transfer, transfer_customer, unassigned_contact
from scrm.work import queue
from scrm.work.models import work_item
from tests.console.conftest import SignIn, Visitor
from tests.customer_lists.shop import open_shop, owner_of, wm
from tests.world import World

BULK = "/console/customers/bulk"


async def send(visitor: Visitor, path: str, fields: dict[str, Any]) -> aiohttp.ClientResponse:
    data = urlencode({"csrf": visitor.csrf, **fields}, doseq=True)
    headers = {**visitor.cookie, "Content-Type": "application/x-www-form-urlencoded"}
    return await visitor.world.client.post(path, data=data, headers=headers, allow_redirects=False)


async def begin(visitor: Visitor, act: str, **fields: Any) -> str:
    """The address of the job."""
    path = f"{BULK}/export" if act == "export" else BULK
    response = await send(visitor, path, {"act": act, "once": f"{act}-{fields}"[:64], **fields})
    assert response.status == 303, await response.text()
    return response.headers["Location"]


async def run_bulk(world: World) -> None:
    """What is due in the lane of long work, and nothing that follows from it."""

    def claim(conn: Connection) -> list[queue.Claimed]:
        return queue.claim(conn, "bulk", now=world.clock.now(), limit=10)

    for item in await world.services.db.write(claim):
        if item.kind == KIND:
            await bulk.run_bulk(world.services, item)
            await world.services.db.write(queue.finish, [item.id])


async def outcomes(world: World, job_id: int = 1) -> dict[int, str]:
    rows = await world.rows(bulk_item, bulk_item.c.job_id == job_id)
    return {row.person_id: f"{row.state} {row.reason}".strip() for row in rows}


async def jobs(world: World) -> list[tuple[Any, ...]]:
    return [(row.kind, row.state, row.total, row.done, row.refused) for row in await world.rows(bulk_job)]


async def test_everybody_whom_the_filters_find_gets_a_tag_and_it_is_taken_back(manager: Visitor, world: World) -> None:
    await open_shop(world)
    query = "owner=wangwei"  # 2 4 6 8 10; 12 has left
    form = await manager.get(f"{BULK}/new?act=tag&all=1&query={query}")
    assert "共 5 位" in form
    assert "跟进员工 王伟" in form
    assert (await send(manager, BULK, {"act": "tag", "all": "1", "query": query})).status == 422
    path = await begin(manager, "tag", all="1", query=query, tag="老客")
    assert await begin(manager, "tag", all="1", query=query, tag="老客") == path  # sent twice
    await run_bulk(world)
    assert await outcomes(world) == {
        2: "done",
        4: "done 已经有了",
        6: "done",
        8: "done 已经有了",
        10: "done",
    }
    assert [(row.external_userid, row.tag, row.is_wanted) for row in await world.rows(tag_wish)] == [
        (wm(n), "老客", True) for n in (2, 6, 10)
    ]
    page = await manager.get(path)
    assert "等待同步" in page
    assert "撤销：把打上的去掉" in page
    undone = await send(manager, f"{path}/undo", {})
    await run_bulk(world)
    assert await outcomes(world, int(undone.headers["Location"].rpartition("/")[2])) == dict.fromkeys(
        (2, 6, 10), "done 本来就没有"
    )
    assert await jobs(world) == [("tag", "done", 5, 5, 0), ("untag", "done", 3, 3, 0)]
    logged = await world.rows(audit_entry, audit_entry.c.entity == "bulk_job")
    assert [row.after["kind"] for row in logged] == ["tag", "untag"]


async def test_tags_come_off_every_relation_that_wears_them(manager: Visitor, world: World) -> None:
    await open_shop(world)
    await begin(manager, "untag", person=[3, 4, 8, 12], tag="老客")
    await run_bulk(world)
    assert await outcomes(world) == {3: "done 本来就没有", 4: "done", 8: "done", 12: "done 本来就没有"}
    assert {(row.external_userid, row.is_wanted) for row in await world.rows(tag_wish)} == {
        (wm(4), False),
        (wm(8), False),
    }
    assert len(await world.rows(follow_user_tag)) == 3  # they go when WeCom has said so


class Killed(BaseException):
    """As hard as the end of a process: nothing may catch it."""


async def test_a_job_that_is_killed_in_the_middle_goes_on_and_does_nothing_twice(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(world)
    calls: list[int] = []

    def dies(conn: Connection, errand: Errand, person_ids: Any) -> list[Outcome]:
        found = bulk_acts.add_tags(conn, errand, person_ids)
        calls.append(len(person_ids))
        if len(calls) == 2:
            raise Killed
        return found

    monkeypatch.setitem(bulk_acts.ACTS, "tag", (dies, 3))  # type: ignore[arg-type]
    monkeypatch.setattr(bulk, "_GATHERED", 4)
    path = await begin(manager, "tag", all="1", query="friend=yes", tag="老客")
    with pytest.raises(Killed):
        await run_bulk(world)
    (job,) = await world.rows(bulk_job)
    assert (job.state, job.total, job.done) == ("running", 11, 3)
    assert "进行中" in await manager.get(path)
    # The next process takes up what was left behind.
    await world.services.db.write(queue.release_all)
    await run_bulk(world)
    assert await jobs(world) == [("tag", "done", 11, 11, 0)]
    marks = await world.rows(work_item, work_item.c.kind == "tags.mark")
    wishes = await world.rows(tag_wish)
    assert sorted(mark.payload["external_userid"] for mark in marks) == sorted(wish.external_userid for wish in wishes)
    assert len(wishes) == 9  # two wore it already
    # WeCom is told at a pace that leaves room for what members do by hand.
    assert len({mark.due_at for mark in marks}) == 9


async def test_a_job_that_broke_off_says_so_until_it_goes_on(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(world)

    def breaks(conn: Connection, errand: Errand, person_ids: Any) -> list[Outcome]:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setitem(bulk_acts.ACTS, "tag", (breaks, 3))  # type: ignore[arg-type]
        path = await begin(manager, "tag", all="1", query="friend=yes", tag="老客")
        with pytest.raises(ZeroDivisionError):
            await run_bulk(world)
    assert "程序出错，停在这里了" in await manager.get(path)
    await world.services.db.write(queue.release_all)
    await run_bulk(world)
    assert await jobs(world) == [("tag", "done", 11, 11, 0)]
    assert "程序出错" not in await manager.get(path)


async def test_a_cancelled_job_stops_before_its_next_chunk(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_shop(world)
    monkeypatch.setitem(bulk_acts.ACTS, "tag", (bulk_acts.add_tags, 4))  # type: ignore[arg-type]
    path = await begin(manager, "tag", person=list(range(1, 12)), tag="老客")
    for _ in range(2):
        await world.services.db.write(bulk._gather, world.services, 1)
    await world.services.db.write(bulk._take, world.services, 1)
    running = await manager.world.client.get(path, headers={**manager.cookie, "HX-Request": "true"})
    assert "4 / 11" in await running.text()
    assert (await send(manager, f"{path}/cancel", {})).status == 303
    await run_bulk(world)
    assert await jobs(world) == [("tag", "cancelled", 11, 4, 0)]
    page = await manager.get(path)
    assert "没有做 7" in page
    assert (await send(manager, f"{path}/cancel", {})).status == 409


async def test_customers_go_to_a_colleague_by_as_many_transfers_as_there_are_givers(
    manager: Visitor, world: World, sign_in: SignIn
) -> None:
    await open_shop(world)
    await sign_in("zhaomin", "赵敏", "member")
    now = world.clock.now()

    def shared(conn: Connection) -> None:
        # 赵敏 follows 5 already; 王伟 has left with customer 8; 7 is on the way to somebody.
        conn.exec_driver_sql(
            "INSERT INTO follow_user (userid, external_userid, person_id, followed_at) "
            "SELECT 'zhaomin', external_userid, person_id, followed_at FROM follow_user WHERE person_id = 5"
        )
        conn.execute(unassigned_contact.insert().values(handover_userid="wangwei", external_userid=wm(8), seen_at=now))
        made = transfer.insert().values(
            resigned=False, handover_userid="lina", takeover_userid="wangwei", created_at=now
        )
        transfer_id = conn.execute(made.returning(transfer.c.id)).scalar_one()
        conn.execute(
            transfer_customer.insert().values(
                transfer_id=transfer_id, handover_userid="lina", takeover_userid="wangwei", external_userid=wm(7)
            )
        )

    await world.services.db.write(shared)
    await begin(manager, "transfer", person=[3, 5, 6, 7, 8, 9, 12], to="zhaomin", message="换我来")
    await run_bulk(world)
    told = "done 已提交，24 小时内客户没有拒绝就会接替"
    assert await outcomes(world) == {
        3: told,
        5: "done 接替员工本来就在跟进，已改为负责人",
        6: told,
        7: "refused 这位客户正在转接中，等这一次有结果后再试",
        8: told,
        9: told,
        12: f"refused {bulk_acts.NOBODY_FOLLOWS}",
    }
    made = [(row.handover_userid, row.resigned, row.message) for row in await world.rows(transfer, transfer.c.id > 1)]
    assert sorted(made) == [("lina", False, "换我来"), ("wangwei", False, "换我来"), ("wangwei", True, "换我来")]
    assert [row.id for row in await world.rows(person, person.c.owner_userid == "zhaomin")] == [5]
    assert await jobs(world) == [("transfer", "done", 7, 5, 2)]


HAND = """
playbook: measure
title: 上门量尺
priority: P2
trigger: {event: manual.started}
run_key: person
reentry: never
enter_if: {field: person.stage, op: eq, value: 复购}
exit_if: none
goal: none
holdout: 0%
steps:
  - {id: ask, at: T0+1h, window: "09:00-21:00", channel: T, late: defer, ttl: 24h, content: {text: 哪天方便？}}
"""


async def test_a_playbook_is_started_for_those_whom_it_admits_and_the_others_are_told_why(
    manager: Visitor, world: World
) -> None:
    await open_shop(world)
    await world.services.db.write(publish, parse_playbook(HAND, file_name="hand.yaml"), now=world.clock.now())
    await world.services.db.read(playbooks_of(world.services).load)
    await begin(manager, "playbook", person=[5, 6, 10, 12], playbook="measure")
    await run_bulk(world)
    found = await outcomes(world)
    assert found[5].startswith("done “上门量尺”已开始，下一步")
    assert found[6].startswith("refused 不符合进入条件")
    assert {row.person_id for row in await world.rows(enrolment)} == {5, 10}
    # After their stage was put right, those who were refused are tried again; the others are not.
    await world.services.db.write(lambda conn: conn.execute(update(person).values(stage="复购")))
    assert "没有成功的再试一次" in await manager.get(f"{BULK}/1")
    await send(manager, f"{BULK}/1/again", {})
    await run_bulk(world)
    assert set(await outcomes(world, 2)) == {6, 12}
    assert sorted(row.person_id for row in await world.rows(enrolment)) == [5, 6, 10]
    # Undone, the runs of the first job end; those of the second go on.
    assert "撤销：停止这次开始的剧本" in await manager.get(f"{BULK}/1")
    await send(manager, f"{BULK}/1/undo", {})
    await run_bulk(world)
    assert await outcomes(world, 3) == dict.fromkeys((5, 10), "done 已停止，没发的待办已撤回")
    states = {row.person_id: (row.state, row.ended_reason) for row in await world.rows(enrolment)}
    assert states == {6: ("active", ""), **dict.fromkeys((5, 10), ("exited", "陈岚停止了这次跟进"))}
    # Nobody begins such a job by itself.
    for act in ("stop", "unpool"):
        assert (await send(manager, BULK, {"act": act, "person": 6})).status == 422
        assert "停止剧本" not in await manager.get("/console/customers")


async def test_who_was_put_into_the_pool_goes_back_to_whoever_was_responsible(manager: Visitor, world: World) -> None:
    await open_shop(world)
    owned = update(person).where(person.c.id.in_([3, 4, 5])).values(owner_userid="lina")
    await world.services.db.write(lambda conn: conn.execute(owned))
    await begin(manager, "pool", person=[3, 4, 5, 6])
    await run_bulk(world)
    assert {row.person_id for row in await world.rows(pool_entry)} == {3, 4, 5, 6}
    # 4 is given to 王伟 before anybody thinks better of it.
    taken = {"person": "4", "to": "wangwei"}
    assert (await send(manager, "/console/pool/assign", taken)).status == 303
    assert "撤销：移出公海，还给原来的负责人" in await manager.get(f"{BULK}/1")
    await send(manager, f"{BULK}/1/undo", {})
    await run_bulk(world)
    gone = "refused 已经不在公海里，或后来又进来过"
    assert await outcomes(world, 2) == {3: "done", 4: gone, 5: "done", 6: "done"}
    assert await world.rows(pool_entry) == []
    owners = {row.id: row.owner_userid for row in await world.rows(person, person.c.id.in_([3, 4, 5, 6]))}
    assert owners == {3: "lina", 4: "wangwei", 5: "lina", 6: ""}


async def test_what_wecom_would_not_mark_is_counted_and_tried_again(manager: Visitor, world: World) -> None:
    await open_shop(world)
    path = await begin(manager, "tag", person=[2, 3, 4], tag="老客")
    for _ in (2, 3):
        world.wecom.say("externalcontact/mark_tag", 84061)
    await world.pass_time(minutes=1)
    await bulk.note_refusals(world.services)
    found = await outcomes(world)
    assert found[4] == "done 已经有了"
    assert all(found[each].startswith("refused ") and "客户已不是该员工的好友" in found[each] for each in (2, 3)), found
    assert await jobs(world) == [("tag", "done", 3, 1, 2)]
    await bulk.note_refusals(world.services)
    assert await jobs(world) == [("tag", "done", 3, 1, 2)]  # once
    page = await manager.get(f"{path}?state=refused")
    assert "没有成功的再试一次" in page
    await send(manager, f"{path}/again", {})
    await world.pass_time(minutes=1)
    await bulk.note_refusals(world.services)
    assert await jobs(world) == [("tag", "done", 3, 1, 2), ("tag", "done", 2, 2, 0)]


async def test_an_export_holds_the_columns_that_are_looked_at(manager: Visitor, world: World, sign_in: SignIn) -> None:
    await open_shop(world)

    def name(conn: Connection) -> None:
        conn.exec_driver_sql("UPDATE external_contact SET name = '=1+1' WHERE person_id = 3")

    await world.services.db.write(name)
    await send(manager, "/console/customers/columns", {"column": ["members", "paid", "average"]})
    for suffix in ("csv", "xlsx"):
        path = await begin(manager, "export", suffix=suffix, all="1", query="paid_from=0.01&owner=lina")
        await run_bulk(world)
        answer = await world.client.get(f"{path}/export", headers=manager.cookie)
        assert answer.status == 200
        body = await answer.read()
        if suffix == "csv":
            rows: list[list[Any]] = list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))
            assert rows[1] == ["'=1+1", "", "李娜", "300.0", "300.0", wm(3), "3"]
        else:
            rows = CalamineWorkbook.from_filelike(io.BytesIO(body)).get_sheet_by_index(0).to_python()
            assert rows[1] == ["=1+1", "", "李娜", 300.0, 300.0, wm(3), 3.0]
        assert rows[0] == ["客户", "备注", "跟进员工", "累计实付", "客单价", "客户 ID", "编号"]
        assert [row[0] for row in rows[2:]] == ["顾客 9"]
    assert {row.act for row in await world.rows(audit_entry, audit_entry.c.route.contains("bulk"))} == {"export"}
    # Files of a week ago are gone.
    world.clock.advance(days=8)
    await export.tick(world.services)
    assert (await world.client.get(f"{path}/export", headers=manager.cookie)).status == 404


async def test_each_kind_asks_for_its_right_and_nobody_acts_beyond_their_reach(
    manager: Visitor, world: World, sign_in: SignIn
) -> None:
    await open_shop(world)
    rights = ["customers:view", "customers:edit"]

    def role(conn: Connection) -> None:
        save_role(conn, made_of("shop", "店长", rights, "own", []), by="x", now=world.clock.now())

    await world.services.db.write(role)
    lina = await sign_in("lina", "李娜", "shop")
    # Somebody else's customers are left out of the list, and ticked by force they are not in the job.
    path = await begin(lina, "tag", person=[1, 2, 3], tag="老客")
    await begin(lina, "tag", all="1", query="", tag="老客")
    await run_bulk(world)
    await run_bulk(world)
    assert set(await outcomes(world, 1)) == {1, 3}
    assert all(owner_of(each) == "lina" for each in await outcomes(world, 2))
    for act in ("transfer", "playbook"):
        assert (await send(lina, BULK, {"act": act, "person": 1})).status == 403
    assert (await send(lina, f"{BULK}/export", {"act": "export", "person": 1, "suffix": "csv"})).status == 403
    assert (await send(lina, BULK, {"act": "export", "person": 1, "suffix": "csv"})).status == 403
    operator = await sign_in("yunying", "运营", "operator")
    assert (await send(operator, BULK, {"act": "tag", "person": 1, "tag": "老客"})).status == 403
    # What others did is seen only by those who reach everybody.
    assert (await operator.get(path)).status == 200
    await begin(manager, "tag", person=[2], tag="老客")
    assert (await lina.get(f"{BULK}/3")).status == 403
    assert "陈岚" not in await lina.get(BULK)
    assert "陈岚" in await operator.get(BULK)
