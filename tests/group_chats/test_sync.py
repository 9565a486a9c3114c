"""The sync finds what no event told: new groups, missed comings and goings, groups that are over."""

from typing import Any

import pytest

from scrm.group_chats import list_store, sync
from scrm.group_chats.models import group_chat, group_chat_change, group_chat_member
from scrm.sync import groups as on_the_board
from scrm.sync.models import missed_callback
from scrm.work.models import work_item
from scrm.work.progress import Progress
from tests.fakes.group_chats import GET, LIST, FakeGroups
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("sqlite_url"))


async def run(world: World) -> Progress:
    progress = Progress()
    await sync.run(world.services, progress, False)
    return progress


async def test_a_first_sync_keeps_every_group_and_starts_no_playbook_for_those_long_in_it(
    world: World, groups: FakeGroups
) -> None:
    await world.add()
    long_ago = int(world.clock.now().timestamp()) - 90 * 86400
    for number in range(7):
        groups.create(f"wrGroup{number}", "lina" if number % 2 else "wuhao", long_ago)
        groups.join(f"wrGroup{number}", long_ago, XIAOMAN)
    groups.take()
    first = await run(world)
    assert (first.done, first.added, first.changed) == (7, 7, 0)
    assert {(row.members, row.customers) for row in await world.rows(group_chat)} == {(2, 1)}
    assert await world.rows(work_item) == []  # nothing for playbooks to do
    assert all(row.is_told for row in await world.rows(group_chat_change))

    before = await world.rows(group_chat)
    world.clock.advance(days=1)
    second = await run(world)
    assert (second.done, second.added, second.changed, second.ended) == (7, 0, 0, 0)
    assert await world.rows(group_chat) == before


async def test_missed_events_become_state_history_and_an_end(world: World, groups: FakeGroups) -> None:
    now = int(world.clock.now().timestamp())
    groups.create("wrTea", "lina", now)
    groups.create("wrHidden", "lina", now)
    groups.create("wrOver", "lina", now)
    await run(world)
    world.clock.advance(hours=20)
    groups.join("wrTea", now + 3600, XIAOMAN)
    groups.dismiss("wrOver", now + 7200)
    groups.take()
    del groups.groups["wrHidden"]  # not listed and not readable: nothing says that it is over
    world.clock.advance(hours=2)
    result = await run(world)
    assert (result.changed, result.ended) == (1, 1)
    ended = {row.chat_id for row in await world.rows(group_chat, group_chat.c.dismissed_at.is_not(None))}
    assert ended == {"wrOver"}
    (missed,) = await world.services.db.read(list_store.list_missed, since=world.clock.now().replace(year=2000))
    assert (missed.userid, missed.is_told, int(missed.at.timestamp())) == (XIAOMAN, False, now + 3600)


async def test_a_corp_with_many_members_is_asked_owner_by_owner_and_a_failing_group_is_skipped(
    world: World, groups: FakeGroups
) -> None:
    now = int(world.clock.now().timestamp())
    groups.create("wrTea", "lina", now)
    groups.create("wrMilk", "wuhao", now)
    world.wecom.always("externalcontact/get_follow_user_list", lambda _: {"follow_user": ["lina", "wuhao"]})

    def too_many(body: dict[str, Any]) -> dict[str, Any]:
        return {"errcode": 81017, "errmsg": "too many"}

    world.wecom.say(LIST, too_many)
    world.wecom.say(GET, 60011)
    progress = await run(world)
    assert len(progress.notes) == 1
    assert len(await world.rows(group_chat_member)) == 1
    assert world.wecom.called(LIST)[-1]["owner_filter"]["userid_list"] == ["lina", "wuhao"]


async def test_what_no_callback_told_stands_on_the_board_once(world: World, groups: FakeGroups) -> None:
    now = int(world.clock.now().timestamp())
    groups.create("wrTea", "lina", now)
    await on_the_board.run(world.services, Progress(), False)
    groups.join("wrTea", now + 60, XIAOMAN)
    groups.take()
    world.clock.advance(hours=3)
    for _ in range(2):
        await on_the_board.run(world.services, Progress(), False)
    (row,) = await world.rows(missed_callback)
    assert (row.name, row.source, row.external_userid) == ("group.joined", "groups", XIAOMAN)
    assert int(row.happened_at.timestamp()) == now + 60
