"""What waits for work that died of an error of ours says so, and "again" brings it to its end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import Connection

from scrm import given_up
from scrm.app import EXECUTORS
from scrm.console.words import WORK_KINDS
from scrm.contact_ways import ways
from scrm.contact_ways.models import contact_way
from scrm.given_up import DISCARDED, ENDINGS, STOPPED
from scrm.imports import customers, jobs
from scrm.mass_messages import dispatch
from scrm.mass_messages import plan as mass_plan
from scrm.mass_messages import store as mass_store
from scrm.mass_messages.audience import Audience
from scrm.mass_messages.models import mass_message_part
from scrm.membership import points as points_ledger
from scrm.membership.models import points_account
from scrm.moments import publish
from scrm.moments import publish as moments
from scrm.moments.models import moment
from scrm.profiles import mark_tags, remarks, tags
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user_tag, tag_wish
from scrm.segments import store as segments
from scrm.segments.models import segment
from scrm.sop import outward
from scrm.sop.models import step_run
from scrm.sop.rehearsal import jobs as rehearsals
from scrm.sop.rehearsal.models import rehearsal
from scrm.sop.schema import Content
from scrm.transfers import ask, groups
from scrm.transfers.begin import begin as begin_transfer
from scrm.transfers.models import transfer_customer, transfer_group
from scrm.transfers.store import Plan
from scrm.work.models import work_item
from tests.console.conftest import Visitor
from tests.console.conftest import manager as manager
from tests.console.conftest import sign_in as sign_in
from tests.fakes.clock import FakeClock
from tests.fakes.deaths import discard_dead, retry_dead, stop_by_bug
from tests.fakes.transfers import FakeTransfers
from tests.mass_messages.conftest import House, send
from tests.mass_messages.conftest import house as house
from tests.mass_messages.conftest import sandbox as sandbox
from tests.profiles.test_tags import library
from tests.sop.shop import Shop, open_shop, playbook_of, step
from tests.transfers.test_transfers import hand_over
from tests.world import XIAOMAN, World

MARK = "externalcontact/mark_tag"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """No SQL of its own but single updates: one database is enough."""
    return sqlite_url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def _err(*args: Any, **more: Any) -> Any:
    raise KeyError("a bug")


def test_each_kind_is_one_that_somebody_does_and_has_a_name() -> None:
    assert ENDINGS.keys() <= EXECUTORS.keys()
    assert EXECUTORS.keys() <= WORK_KINDS.keys()


@dataclass(frozen=True)
class Waiting:
    """Something that people wait for: `begin` returns the page on which they do."""

    begin: Callable[[World, Visitor, int], Awaitable[str]]
    breaks: tuple[Any, str]
    ends: Callable[[World], Awaitable[set[str]]]


def _break(*args: Any, **more: Any) -> Any:
    raise KeyError("a bug")


async def _begin_message(world: World, manager: Visitor, number: int) -> str:
    if number == 1:
        await world.add()
    world.wecom.always("externalcontact/add_msg_template", lambda _: {"msgid": "A", "fail_list": []})
    made = await mass_plan.create(world.services, Audience(userids=("lina",)), text=f"秋季上新 {number}")
    return f"/console/mass-messages/{made}"


async def _begin_groups(world: World, manager: Visitor, number: int) -> str:
    for userid in ("lina", "meiqi"):
        await world.services.db.write(profiles.save_member, userid, name=userid, now=world.clock.now())
    plan = Plan("lina", "meiqi", resigned=False, external_userids=(), groups={f"wrGroup{number}": "福利群"})
    made = await world.services.db.write(begin_transfer, plan, now=world.clock.now())
    return f"/console/transfers/{made}"


async def _begin_code(world: World, manager: Visitor, number: int) -> str:
    made = {"config_id": f"config-{number}", "qr_code": "https://wework.qpic.cn/1"}
    world.wecom.always("externalcontact/add_contact_way", lambda _: made)

    def make(conn: Connection) -> str:
        return ways.make(conn, title="直播间", kind="直播", userids=("lina",), now=world.clock.now())

    return f"/console/contact-ways/{await world.services.db.write(make)}"


async def _begin_rehearsal(world: World, manager: Visitor, number: int) -> str:
    path = "/console/playbooks/new-customer/rehearsal"
    return (await manager.send(path, whose="crowd", crowd="50", days="2")).headers["Location"]


async def _begin_list(world: World, manager: Visitor, number: int) -> str:
    tree = '{"field": "person.orders", "op": "gte", "value": 1}'
    made = await manager.send("/console/segments/new", title=f"买过的 {number}", tree=tree)
    frozen = await manager.send(f"{made.headers['Location']}/freeze", title=f"名单 {number}")
    return frozen.headers["Location"]


async def _parts(world: World) -> set[str]:
    return {row.state for row in await world.rows(mass_message_part)}


async def _groups(world: World) -> set[str]:
    return {row.state for row in await world.rows(transfer_group)}


async def _codes(world: World) -> set[str]:
    return {row.config_id for row in await world.rows(contact_way, contact_way.c.kind == "直播")}


async def _rehearsals(world: World) -> set[str]:
    return {row.state for row in await world.rows(rehearsal)}


async def _lists(world: World) -> set[str]:
    lists = await world.rows(segment, segment.c.kind == "static")
    return {"whole" if row.computed_at else "not whole" for row in lists}


# What became of it after a retry, and of both when another one was thrown away.
WAITING = {
    "a mass message": (Waiting(_begin_message, (mass_store, "add_targets"), _parts), {"created"}, {"created"}),
    "groups": (Waiting(_begin_groups, (groups, "_hand_over"), _groups), {"done"}, {"done", "failed"}),
    "a channel code": (Waiting(_begin_code, (ways, "_apply"), _codes), {"config-1"}, {"config-1", ""}),
    "a rehearsal": (Waiting(_begin_rehearsal, (rehearsals, "cast"), _rehearsals), {"done"}, {"done", "failed"}),
    "a frozen list": (Waiting(_begin_list, (segments, "finish_list"), _lists), {"whole"}, {"whole", "not whole"}),
}


@pytest.mark.parametrize(("waiting", "retried", "thrown_away"), WAITING.values(), ids=WAITING)
async def test_where_people_wait_it_is_said_and_a_retry_brings_it_to_its_end_and_so_does_a_throw_away(
    world: World,
    manager: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    waiting: Waiting,
    retried: set[str],
    thrown_away: set[str],
) -> None:
    async def stop(number: int) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(*waiting.breaks, _break)
            path = await waiting.begin(world, manager, number)
            for seconds in (0, 2, 6, 31, 301):
                await world.pass_time(seconds=seconds)
        assert STOPPED in await manager.get(path)
        return path

    path = await stop(1)
    await retry_dead(world.services)
    assert STOPPED not in await manager.get(path)
    await world.settle()
    assert await waiting.ends(world) == retried
    path = await stop(2)
    await discard_dead(world.services)
    page = await manager.get(path)
    assert DISCARDED in page
    assert STOPPED not in page
    await world.pass_time(minutes=10)
    assert await waiting.ends(world) == thrown_away
    assert await world.rows(work_item, work_item.c.state == 2) == []


async def test_points_that_stopped_fail_their_step_in_words_and_come_once_after_a_retry(
    sqlite_url: str, clock: FakeClock, wecom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_shop(sqlite_url, clock, wecom) as shop:
        shop.services.worker.prepare(shop.services, EXECUTORS, died=given_up.died)
        await shop.run(playbook_of(step("act", "T0", "X", act=({"points": 5},))))

        async def steps() -> list[tuple[str, str]]:
            return [(row.state, row.reason) for row in await shop.rows(step_run)]

        async def stop(name: str) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(points_ledger, "move", _break)
                await shop.add(name)
                for seconds in (0, 2, 6, 31, 301):
                    await shop.pass_time(seconds=seconds)

        await stop("小满")
        assert await steps() == [("failed", STOPPED)]
        await retry_dead(shop.services)
        await shop.settle()
        assert await steps() == [("done", "")]
        await stop("阿宁")
        await discard_dead(shop.services)
        await shop.settle()
        assert await steps() == [("done", ""), ("failed", DISCARDED)]
        assert [row.available for row in await shop.rows(points_account)] == [5]


async def test_a_tag_and_a_remark_say_that_they_stopped_and_are_there_after_a_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.add()
    await world.pass_time(seconds=10)
    world.wecom.say("externalcontact/get_corp_tag_list", library("意向高"))
    await mark_tags.refresh_library(world.services)
    pair, now = ("lina", XIAOMAN), world.clock.now()
    await world.services.db.write(tags.want, *pair, add=["意向高"], source="staff", reason="自己选的", now=now)
    await stop_by_bug(monkeypatch, MARK, world.pass_time)
    assert [row.problem for row in await world.rows(tag_wish)] == [STOPPED]
    await retry_dead(world.services)
    assert [row.problem for row in await world.rows(tag_wish)] == [""]
    await world.settle()
    assert "意向高" in {row.tag_name for row in await world.rows(follow_user_tag)}

    await world.services.db.write(remarks.want, pair, {"remark": "满姐"}, now=world.clock.now())
    await stop_by_bug(monkeypatch, "externalcontact/remark", world.pass_time)
    wish = await world.services.db.read(remarks.find_wish, pair)
    assert wish is not None
    assert wish.problem == STOPPED
    await retry_dead(world.services)
    await world.settle()
    assert await world.services.db.read(remarks.find_wish, pair) is None
    assert await world.rows(work_item, work_item.c.state == 2) == []


async def test_a_step_fails_in_words_and_is_done_after_a_retry(
    sqlite_url: str, clock: FakeClock, wecom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def step_of(shop: Shop) -> tuple[str, str]:
        (row,) = await shop.rows(step_run)
        return row.state, row.reason

    async with open_shop(sqlite_url, clock, wecom) as shop:
        shop.services.worker.prepare(shop.services, EXECUTORS, died=given_up.died)
        shop.wecom.say("externalcontact/get_corp_tag_list", library("意向高"))
        await shop.run(playbook_of(step("act", "T0", "X", act=({"add_tag": "意向高"},))))
        await shop.add()
        await stop_by_bug(monkeypatch, MARK, shop.pass_time)
        assert await step_of(shop) == ("failed", STOPPED)
        await retry_dead(shop.services)
        assert await step_of(shop) == ("intent", "")
        await shop.settle()
        assert await step_of(shop) == ("done", "")


async def test_a_call_of_another_system_is_made_after_a_retry(
    sqlite_url: str, clock: FakeClock, wecom: Any, aiohttp_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[str] = []

    async def receive(request: web.Request) -> web.Response:
        got.append(request.headers["Idempotency-Key"])
        return web.json_response({"receipt": "SMS-1"})

    app = web.Application()
    app.router.add_post("/send", receive)
    url = str((await aiohttp_server(app)).make_url("/send"))
    endpoints = {"sms": {"url": url, "secret": "a secret of the sms service", "allow_private": True}}
    async with open_shop(sqlite_url, clock, wecom, outward=endpoints) as shop:
        shop.services.worker.prepare(shop.services, EXECUTORS, died=given_up.died)
        await shop.run(playbook_of(step("sms", "T0", "K", content=Content(text="你好"), options={"to": "sms"})))
        await shop.add()
        with monkeypatch.context() as patch:
            patch.setattr(outward, "post", _err)
            for seconds in (0, 2, 6, 31, 301):
                await shop.pass_time(seconds=seconds)
        (row,) = await shop.rows(step_run)
        assert (row.state, row.reason) == ("failed", STOPPED)
        await retry_dead(shop.services)
        await shop.settle()
        (row,) = await shop.rows(step_run)
        assert (row.state, row.reason, got) == ("done", "回执 SMS-1", ["outward:1"])


async def test_a_part_of_a_mass_message_is_made_after_a_retry_or_failed_when_it_is_thrown_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    xiaoman = await house.meet("xiaoman")

    async def stop() -> int:
        make = "externalcontact/add_msg_template"
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "build_attachments", _err)
            message_id = await send(house)
            await stop_by_bug(monkeypatch, make, house.pass_time)
        (part,) = await house.parts(message_id)
        assert (part.state, part.reason) == ("planned", STOPPED)
        return message_id

    message_id = await stop()
    await retry_dead(house.services)
    await house.settle()
    (part,) = await house.parts(message_id)
    assert (part.state, part.reason) == ("created", "")
    await house.lose(xiaoman)
    xiaoman = await house.meet("xiaonian")
    message_id = await stop()
    await discard_dead(house.services)
    (part,) = await house.parts(message_id)
    assert (part.state, part.reason) == ("failed", DISCARDED)
    assert await house.states(message_id) == {xiaoman: "failed"}
    assert (await house.message(message_id)).state == "done"
    assert len(house.made) == 1


async def test_a_moment_whose_call_broke_off_is_looked_up_after_a_retry(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish.create(house.services, text="秋季上新", userids=["lina"])
    with monkeypatch.context() as patch:
        # Each try ends without anybody knowing what WeCom has made.
        patch.setattr(house.services.wecom.moments, "add_moment_task", _err)
        patch.setattr(moments, "MOST_LOOKS", 4)
        for _ in range(12):
            await house.pass_time(minutes=1)
    (row,) = await house.rows(moment)
    assert (row.state, row.reason) == ("intent", STOPPED)
    await retry_dead(house.services)
    for _ in range(6):
        await house.pass_time(minutes=1)
    (row,) = await house.rows(moment)
    assert (row.state, row.reason) == ("job", "")
    assert len(house.sandbox.world.sending.moments) == 1


async def test_a_transfer_goes_on_after_a_retry_and_its_customers_are_free_when_it_is_thrown_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rows() -> list[tuple[str, str]]:
        return [(row.state, row.reason) for row in await world.rows(transfer_customer)]

    for userid in ("lina", "meiqi"):
        await world.services.db.write(profiles.save_member, userid, name=userid, now=world.clock.now())
    await world.add()
    await world.pass_time(seconds=10)
    calls = FakeTransfers(world.wecom, world.clock.now)
    with monkeypatch.context() as patch:
        patch.setattr(ask, "_ask", _err)
        await hand_over(world)
        for seconds in (2, 6, 31, 301):
            await world.pass_time(seconds=seconds)
    assert await rows() == [("asking", STOPPED)]
    await retry_dead(world.services)
    await world.settle()
    assert await rows() == [("waiting", "")]
    assert len(calls.asked) == 1
    # Nobody looks any more what became of it: said, and looked for again.
    await world.pass_time(minutes=3)
    with monkeypatch.context() as patch:
        patch.setattr(ask, "_results", _err)
        await world.pass_time(hours=25)
        for seconds in (2, 6, 31, 301):
            await world.pass_time(seconds=seconds)
    assert await rows() == [("waiting", STOPPED)]
    await discard_dead(world.services)
    assert await rows() == [("failed", DISCARDED)]


async def test_an_import_that_died_says_so_and_runs_again(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def begin(conn: Connection) -> int:
        job_id = jobs.add_file(conn, "given-up", "customers", "a.csv", "chenlan", now=world.clock.now())
        jobs.start(conn, job_id, check=True, now=world.clock.now())
        return job_id

    job_id = await world.services.db.write(begin)
    monkeypatch.setattr(jobs, "folder_of", lambda services, folder: tmp_path)
    (tmp_path / "a.csv").write_text("手机号,姓名\n13800000000,小满\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(customers, "import_customers", _err)
        for seconds in (0, 2, 6, 31, 301):
            await world.pass_time(seconds=seconds)
    job = await world.services.db.read(jobs.get_job, job_id)
    assert (job.state, job.problem) == ("failed", STOPPED)
    await retry_dead(world.services)
    assert (await world.services.db.read(jobs.get_job, job_id)).state == "checking"
    await world.settle()
    assert (await world.services.db.read(jobs.get_job, job_id)).state == "checked"
