"""Edits and deletions: state is fetched, relations end, what runs for them ends."""

from scrm.callbacks.models import inbox_event
from scrm.events import event
from scrm.profiles.models import follow_user, follow_user_tag, person
from scrm.sop.models import enrolment
from tests.fakes import wecom as fake
from tests.world import XIAOMAN, World


async def edit(world: World) -> None:
    created_at = int(world.clock.now().timestamp())
    xml = fake.event_xml("edit_external_contact", created_at=created_at, UserID="lina", ExternalUserID=XIAOMAN)
    assert (await world.tell(xml)).status == 200


async def test_an_edit_fetches_the_contact_anew_once_however_many_there_are(world: World) -> None:
    await world.add()
    tags = [
        {"group_name": "来源", "tag_name": "直播间", "tag_id": "et1", "type": 1},
        {"group_name": "个人", "tag_name": "爱喝茶", "type": 2},
    ]
    world.wecom.add_contact(XIAOMAN, "小满", "lina", follow={"remark": "小满 油皮", "tags": tags})
    before = len(world.wecom.called("externalcontact/get"))
    for _ in range(5):
        world.clock.advance(seconds=0.3)
        await edit(world)
        await world.settle()
    await world.pass_time(seconds=3)
    assert len(world.wecom.called("externalcontact/get")) - before == 1
    (follow,) = await world.rows(follow_user)
    assert follow.remark == "小满 油皮"
    assert {row.tag_name for row in await world.rows(follow_user_tag)} == {"直播间", "爱喝茶"}


async def test_a_customer_who_deletes_the_member_ends_the_relation_and_what_runs_for_it(world: World) -> None:
    await world.add()
    world.clock.advance(hours=1)
    await world.lose("del_follow_user")
    (follow,) = await world.rows(follow_user)
    assert (follow.ended_by, follow.ended_at) == ("customer", world.clock.now())
    assert {row.state for row in await world.rows(enrolment)} == {"exited"}
    assert len(await world.rows(event, event.c.name == "contact.lost_by_customer")) == 1


async def test_a_member_who_deletes_the_customer_does_too(world: World) -> None:
    await world.add()
    world.clock.advance(hours=1)
    await world.lose("del_external_contact")
    (follow,) = await world.rows(follow_user)
    assert follow.ended_by == "member"
    assert {row.state for row in await world.rows(enrolment)} == {"exited"}


async def test_a_deletion_that_arrives_after_the_customer_came_back_is_old_news(world: World) -> None:
    await world.add()
    world.clock.advance(hours=1)
    created_at = int(world.clock.now().timestamp())
    world.clock.advance(hours=1)
    xml = fake.event_xml("del_follow_user", created_at=created_at, UserID="lina", ExternalUserID=XIAOMAN)
    world.wecom.add_contact(XIAOMAN, "小满", "lina", follow={"createtime": int(world.clock.now().timestamp())})
    await world.add(WelcomeCode="again")
    await world.tell(xml)
    await world.settle()
    (follow,) = await world.rows(follow_user)
    assert follow.ended_by == ""


async def test_an_old_add_that_comes_after_the_deletion_begins_nothing(world: World) -> None:
    created_at = int(world.clock.now().timestamp())
    del world.wecom.contacts[XIAOMAN]  # WeCom: 84061
    gone = fake.event_xml("del_external_contact", created_at=created_at, UserID="lina", ExternalUserID=XIAOMAN)
    await world.tell(gone)
    await world.settle()
    old = fake.event_xml("add_external_contact", created_at=created_at - 5, UserID="lina", ExternalUserID=XIAOMAN)
    await world.tell(old)
    await world.settle()
    (follow,) = await world.rows(follow_user)
    assert follow.ended_by == "member"
    assert await world.rows(enrolment) == []


async def test_a_member_is_the_same_however_wecom_spells_the_userid(world: World) -> None:
    await world.add()
    world.clock.advance(hours=1)
    await world.lose("del_external_contact", userid="LINA")
    (follow,) = await world.rows(follow_user)
    assert (follow.userid, follow.ended_by) == ("lina", "member")


async def test_a_new_name_in_wecom_is_the_persons_new_name(world: World) -> None:
    await world.add()
    world.wecom.add_contact(XIAOMAN, "小满满", "lina")
    await edit(world)
    await world.settle()
    await world.pass_time(seconds=3)
    assert [row.name for row in await world.rows(person)] == ["小满满"]


async def test_a_contact_event_about_nobody_is_kept_and_shown(world: World) -> None:
    await world.tell(fake.event_xml("add_external_contact", created_at=1772416800, UserID="lina", WelcomeCode="x"))
    await world.settle()
    (kept,) = await world.rows(inbox_event)
    assert (kept.state, kept.error) == ("unreadable", "客户事件里缺少 UserID 或 ExternalUserID")
    assert await world.rows(follow_user) == []
