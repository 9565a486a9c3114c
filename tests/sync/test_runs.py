"""Syncs as durable work: nightly once, one process at a time, and each source by itself; members and departments too."""

import asyncio
from datetime import datetime, timedelta

from scrm import stops
from scrm.profiles.models import corp_tag, customer_contact_member, department, member, member_department
from scrm.sync import nightly, runs, store
from scrm.sync.models import sync_night, sync_run
from scrm.sync.sources import SOURCES
from scrm.work.models import work_item
from tests.sync.conftest import Shop


async def test_the_night_begins_once_whoever_ticks_and_is_done_as_work(shop: Shop) -> None:
    shop.befriend("one")
    shop.clock.move_to(datetime.fromisoformat("2026-03-03T03:29:00+08:00"))
    assert not await nightly.tick(shop.services)
    shop.clock.move_to(datetime.fromisoformat("2026-03-03T03:30:00+08:00"))
    begun = await asyncio.gather(*(nightly.tick(shop.services) for _ in range(5)))
    assert sum(begun) == 1
    assert not await nightly.tick(shop.services)
    assert [row.night for row in await shop.rows(sync_night)] == ["2026-03-03"]
    await shop.services.worker.drain()
    states = {row.source: (row.state, row.error) for row in await shop.rows(sync_run)}
    assert states == dict.fromkeys([source.key for source in SOURCES], ("done", ""))
    assert await shop.rows(work_item) == []
    shop.clock.move_to(datetime.fromisoformat("2026-03-04T12:00:00+08:00"))
    assert not await nightly.tick(shop.services)  # the morning is for the customers


async def test_work_that_is_repeated_does_only_what_was_not_done(shop: Shop) -> None:
    shop.befriend("one")
    shop.sandbox.faults.fail_next("externalcontact/get_follow_user_list", 45036, 2)
    await shop.services.db.write(runs.ask, ["members", "tags", "contacts"], now=shop.clock.now())
    assert not await shop.services.db.write(runs.ask, ["contacts", "tags", "members"], now=shop.clock.now())
    await shop.services.worker.drain()
    assert {row.source: row.state for row in await shop.rows(sync_run)} == {
        "members": "done", "tags": "done", "contacts": "running",
    }  # fmt: skip
    tags = shop.calls("externalcontact/get_corp_tag_list")
    shop.sandbox.faults.errcodes.clear()
    shop.clock.advance(minutes=2)
    await shop.services.worker.drain()
    assert {row.state for row in await shop.rows(sync_run)} == {"done"}
    assert shop.calls("externalcontact/get_corp_tag_list") == tags


async def test_a_list_whose_cursor_is_forgotten_half_way_is_begun_again_once(shop: Shop) -> None:
    for number in range(3):
        await shop.services.wecom.acquisition.create_link(f"链接 {number}", user_list=["lina"])
    path = "externalcontact/customer_acquisition/customer"
    shop.sandbox.faults.fail_next(path, 50100, 1)
    await shop.services.db.write(runs.ask, ["links"], now=shop.clock.now())
    await shop.services.worker.drain()
    (row,) = await shop.rows(sync_run)
    assert (row.state, row.done, row.notes) == ("done", 3, ["企业微信的翻页位置失效，已从头再读一遍"])
    assert shop.calls(path) == 4
    shop.clock.advance(minutes=1)
    # Forgotten again and again: it is tried later, and each hour after that (scrm.stops).
    shop.sandbox.faults.fail_next(path, 50100, 100)
    await shop.services.db.write(runs.ask, ["links"], now=shop.clock.now())
    for _ in range(4):
        await shop.services.worker.drain()
        shop.clock.advance(hours=1)
    (item,) = await shop.rows(work_item)
    assert (item.state, item.held) == (2, True)
    shop.sandbox.faults.errcodes.clear()
    assert await stops.tick(shop.services) == 1
    await shop.services.worker.drain()
    assert (await shop.rows(work_item), {row.state for row in await shop.rows(sync_run)}) == ([], {"done"})


async def test_two_processes_never_work_on_one_source(shop: Shop) -> None:
    now = shop.clock.now()

    async def take(holder: str, *, full: bool = False) -> store.Taken | None:
        return await shop.services.db.write(
            store.take_run, "contacts", full=full, asked_at=shop.clock.now(), holder=holder,
            is_gone=lambda holder: holder == "dead", now=shop.clock.now(),
        )  # fmt: skip

    first = await take("one")
    assert first is not None
    assert not first.is_resumed
    assert await take("two") is None
    shop.clock.advance(seconds=store.LEASE.total_seconds() + 1)
    resumed = await take("dead")
    assert resumed is not None
    assert (resumed.id, resumed.is_resumed) == (first.id, True)
    assert (await take("three")) is not None  # who died is not waited for
    await shop.services.db.write(store.leave_run, first.id, runs.Progress(), error="", now=now)
    anew = await take("four", full=True)
    assert anew is not None
    assert anew.id != first.id
    shop.clock.advance(hours=13)
    much_later = await take("five")
    assert much_later is not None
    assert not much_later.is_resumed


async def test_departments_and_members_follow_what_the_app_may_see(shop: Shop) -> None:
    await shop.sync("members", "follow_users", "tags")
    assert {row.name for row in await shop.rows(department)} == {shop.sandbox.config.corp_name, "门店一部"}
    assert {row.userid: row.name for row in await shop.rows(member)} == {"lina": "李娜", "WuHao": "吴昊"}
    assert len(await shop.rows(member_department)) == 2
    assert {row.userid for row in await shop.rows(customer_contact_member)} == {"lina", "WuHao"}
    assert {row.tag_name for row in await shop.rows(corp_tag)} == {"直播间", "门店"}

    asked = shop.calls("user/get") + shop.calls("department/get")
    again = await shop.sync("members")
    assert (again["members"].progress.added, again["members"].progress.changed) == (0, 0)
    assert shop.calls("user/get") + shop.calls("department/get") == asked

    shop.sandbox.add_member("lina", "李娜娜", department="门店二部")
    shop.sandbox.add_member("zhou", "周舟")
    del shop.sandbox.world.members["wuhao"]
    shop.clock.advance(days=1)
    progress = (await shop.sync("members", "follow_users"))["members"].progress
    assert (progress.added, progress.changed, progress.ended) == (1, 1, 1)
    known = {row.userid: (row.name, row.is_active) for row in await shop.rows(member)}
    assert known == {"lina": ("李娜娜", True), "WuHao": ("吴昊", False), "zhou": ("周舟", True)}
    gone = await shop.rows(customer_contact_member, customer_contact_member.c.userid == "WuHao")
    assert gone[0].ended_at - gone[0].watched_since == timedelta(days=1)

    # A department that cannot be read makes nobody leave.
    shop.sandbox.faults.fail_next("user/simplelist", 60011)
    shop.clock.advance(days=1)
    unread = (await shop.sync("members"))["members"].progress
    assert "成员没有读到" in unread.notes[0]
    assert {row.userid: (row.name, row.is_active) for row in await shop.rows(member)} == known
