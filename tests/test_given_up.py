"""What waits for work that died of an error of ours says so, and "again" brings it to its end."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import Connection

from scrm import given_up
from scrm.app import EXECUTORS
from scrm.console.words import WORK_KINDS
from scrm.given_up import DISCARDED, ENDINGS, STOPPED
from scrm.imports import customers, jobs
from scrm.mass_messages import dispatch
from scrm.moments import publish
from scrm.moments import publish as moments
from scrm.moments.models import moment
from scrm.profiles import mark_tags, remarks, tags
from scrm.profiles import store as profiles
from scrm.profiles.models import follow_user_tag, tag_wish
from scrm.sop import outward
from scrm.sop.models import step_run
from scrm.sop.schema import Content
from scrm.transfers import ask
from scrm.transfers.models import transfer_customer
from scrm.work.models import work_item
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
