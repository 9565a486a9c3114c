"""Group events: fetched once for a storm, right in whatever order they come, and told to playbooks once."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from scrm.events import event
from scrm.group_chats import figure_store, list_store
from scrm.group_chats.models import group_chat, group_chat_change, group_chat_hint, group_chat_member
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from scrm.work.models import work_item
from tests.fakes.group_chats import GET, FakeGroups
from tests.world import ANING, XIAOMAN, World

TEA = "wrTea0000000000000000000000000001"
STRANGER = "wmStranger0000000000000000000003"


def seconds(world: World) -> int:
    return int(world.clock.now().timestamp())


async def tell(world: World, groups: FakeGroups, *, lose: bool = False) -> None:
    """Deliver what happened, or lose it, and let the fetches happen."""
    for xml in groups.take():
        if not lose:
            assert (await world.tell(xml)).status == 200
    await world.settle()
    await world.pass_time(seconds=6)


async def history(world: World) -> list[tuple[str, str, int, bool]]:
    rows = await world.rows(group_chat_change)
    return sorted((row.kind, row.userid, int(row.at.timestamp()), row.is_told) for row in rows)


async def events_of(world: World, prefix: str = "group.") -> list[Any]:
    return await world.rows(event, event.c.name.startswith(prefix))


async def test_a_group_is_kept_with_its_people_and_each_coming_and_going_is_told_once(
    world: World, groups: FakeGroups
) -> None:
    await world.add()
    now = seconds(world)
    groups.create(TEA, "lina", now)
    groups.join(TEA, now, XIAOMAN, STRANGER, state="grp-a", unionid="")
    await tell(world, groups)
    (group,) = await world.rows(group_chat)
    assert (group.owner, group.members, group.customers, group.dismissed_at) == ("lina", 3, 2, None)
    assert {row.name for row in await events_of(world)} == {"group.created", "group.joined"}
    (joined,) = await events_of(world, "group.joined")
    assert (joined.external_userid, joined.facts["state"], joined.person_id is not None) == (XIAOMAN, "grp-a", True)

    groups.rename(TEA, seconds(world), "茶友 1 群")
    left_at = seconds(world)
    groups.leave(TEA, left_at, XIAOMAN, scene=1)
    await tell(world, groups)
    (group,) = await world.rows(group_chat)
    assert (group.name, group.members, group.customers) == ("茶友 1 群", 2, 1)
    assert ("left", XIAOMAN, left_at, True) in await history(world)
    (left,) = await events_of(world, "group.left")
    assert left.facts["is_removed"] is True
    assert int(left.occurred_at.timestamp()) == left_at

    groups.join(TEA, seconds(world), XIAOMAN)
    await tell(world, groups)
    assert len(await events_of(world, "group.joined")) == 2

    groups.dismiss(TEA, seconds(world))
    await tell(world, groups)
    (group,) = await world.rows(group_chat)
    assert group.dismissed_at is not None
    assert len(await world.rows(group_chat_member)) == 3
    (over,) = await events_of(world, "group.dismissed")
    assert over.facts["members"] == 3
    assert await world.rows(work_item) == []


async def test_a_storm_of_events_about_a_group_is_one_fetch(world: World, groups: FakeGroups) -> None:
    groups.create(TEA, "lina", seconds(world))
    for number in range(30):
        groups.join(TEA, seconds(world), f"wm{number:030}")
    await tell(world, groups)
    assert len(world.wecom.called(GET)) == 1
    assert await world.services.db.read(figure_store.recount, TEA) == (31, 30)
    assert {told for *_, told in await history(world)} == {True}


async def test_an_answer_older_than_the_event_is_asked_for_again(world: World, groups: FakeGroups) -> None:
    group = groups.create(TEA, "lina", seconds(world))
    await tell(world, groups)
    groups.stale.extend([copy.deepcopy(group)] * 2)
    groups.join(TEA, seconds(world), XIAOMAN)
    await tell(world, groups)
    assert len(await world.rows(group_chat_member)) == 1
    await world.pass_time(seconds=6)
    await world.pass_time(seconds=6)
    assert len(await world.rows(group_chat_member)) == 2
    assert all(told for *_, told in await history(world))
    # A version that never comes does not keep us asking.
    groups.stale.extend([copy.deepcopy(group)] * 20)
    groups.leave(TEA, seconds(world), XIAOMAN)
    for _ in range(10):
        await tell(world, groups)
    assert await world.rows(work_item) == []


async def test_a_lost_event_is_found_by_the_next_one_and_marked_as_found(world: World, groups: FakeGroups) -> None:
    groups.create(TEA, "lina", seconds(world))
    await tell(world, groups)
    lost_at = seconds(world)
    groups.join(TEA, lost_at, XIAOMAN)
    await tell(world, groups, lose=True)
    groups.join(TEA, seconds(world), ANING)
    await tell(world, groups)
    told = {(userid, is_told) for kind, userid, _, is_told in await history(world) if userid != "lina"}
    assert told == {(XIAOMAN, False), (ANING, True)}
    (missed,) = await world.services.db.read(list_store.list_missed, since=world.clock.now().replace(year=2000))
    assert (missed.userid, int(missed.at.timestamp())) == (XIAOMAN, lost_at)
    assert missed.noticed_at > missed.at


async def test_an_event_without_a_change_type_and_one_of_an_unknown_group_do_no_harm(
    world: World, groups: FakeGroups
) -> None:
    groups.create(TEA, "lina", seconds(world))
    xml = groups.take()[0].replace("<ChangeType><![CDATA[create]]></ChangeType>", "")
    await world.tell(xml)
    await world.tell(xml.replace(TEA, "wrNobody"))
    await world.settle()
    await world.pass_time(seconds=6)
    assert {row.chat_id for row in await world.rows(group_chat, group_chat.c.refreshed_at.is_not(None))} == {TEA}
    assert await world.rows(work_item) == []


@pytest.mark.parametrize("seed", range(4))
async def test_events_doubled_and_shuffled_end_in_the_state_of_an_orderly_run(
    world: World, groups: FakeGroups, seed: int
) -> None:
    random_ = random.Random(seed)
    await world.add()
    now = seconds(world)
    people = [XIAOMAN, ANING, *(f"wm{number:030}" for number in range(6))]
    groups.create(TEA, "lina", now)
    inside: set[str] = set()
    expected: set[tuple[str, str, int]] = set()
    for step in range(1, 25):
        who = random_.choice(people)
        if who in inside:
            groups.leave(TEA, now + 60 * step, who)
        else:
            groups.join(TEA, now + 60 * step, who)
        expected.add(("left" if who in inside else "joined", who, now + 60 * step))
        inside ^= {who}
    world.clock.advance(hours=1)
    told = groups.take()
    told += random_.sample(told, len(told) // 3)
    random_.shuffle(told)
    for number, xml in enumerate(told):
        await world.tell(xml)
        await world.settle()
        if number % 7 == 0:
            await world.pass_time(seconds=6)
    await world.pass_time(seconds=20)
    await world.pass_time(seconds=20)
    assert {row.userid for row in await world.rows(group_chat_member)} == inside | {"lina"}
    assert {row[:3] for row in await history(world) if row[1] != "lina"} == expected
    assert await world.rows(group_chat_hint) == []
    (group,) = await world.rows(group_chat)
    assert (group.members, group.customers) == await world.services.db.read(figure_store.recount, TEA)


async def test_the_counts_on_the_group_and_of_its_days_equal_a_recount(world: World, groups: FakeGroups) -> None:
    now = seconds(world)
    groups.create(TEA, "lina", now)
    groups.join(TEA, now, XIAOMAN, ANING)
    await tell(world, groups)
    world.clock.advance(days=2)
    groups.leave(TEA, seconds(world), ANING)
    await tell(world, groups)
    zone = world.services.settings.shop.zone
    days = await world.services.db.read(figure_store.count_days, world.clock.now(), zone, days=3, chat_id=TEA)
    assert [(day.joined, day.left) for day in days] == [(2, 0), (0, 0), (0, 1)]
    (owner,) = await world.services.db.read(figure_store.count_owners, world.clock.now().replace(year=2000))
    assert (owner.owner, owner.groups, owner.customers, owner.joined, owner.left) == ("lina", 1, 1, 2, 1)
    joined = await world.services.db.read(lambda conn: conn.execute(select(group_chat.c.customers)).scalar_one())
    assert joined == 1


GROUP_PLAYBOOK = """
playbook: group-newcomer
title: 进群新人
trigger: { event: group.joined, where: { state: grp-a } }
run_key: person
reentry: never
goal: { event: order.paid, within: 7d }
steps:
  - id: hello
    title: 打招呼
    at: T0+30m
    channel: T
    late: drop
    ttl: 24h
    content: { text: "{{ nickname }}，欢迎进群" }
exit_if: { any: [{ event: group.left }] }
guards: { queue: none }
"""


async def test_coming_into_a_group_starts_its_playbook_and_leaving_ends_it(
    world: World, groups: FakeGroups, tmp_path: Path
) -> None:
    (tmp_path / "group.yaml").write_text(GROUP_PLAYBOOK, "utf-8")
    published = playbooks_of(world.services)
    problems = await world.services.db.write(published.publish_dir, tmp_path, now=world.clock.now())
    assert problems == []
    await world.add()
    groups.create(TEA, "wuhao", seconds(world))
    groups.join(TEA, seconds(world), XIAOMAN, ANING, state="grp-a")
    await tell(world, groups)
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "group-newcomer")
    assert (run.external_userid, run.userid, run.state) == (XIAOMAN, "lina", "active")
    groups.leave(TEA, seconds(world), XIAOMAN)
    await tell(world, groups)
    (run,) = await world.rows(enrolment, enrolment.c.playbook_key == "group-newcomer")
    assert (run.state, "离开了客户群" in run.ended_reason) == ("exited", True)
