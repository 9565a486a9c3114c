"""Tags are wanted on our side or put on WeCom's, and both sides end alike."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.profiles import mark_tags, tags
from scrm.profiles.models import corp_tag, follow_user, follow_user_tag, tag_wish
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.world import XIAOMAN, World

MARK, LIST, ADD = (f"externalcontact/{name}" for name in ("mark_tag", "get_corp_tag_list", "add_corp_tag"))


def library(*names: str, **deleted: bool) -> dict[str, Any]:
    tags = [{"id": f"et{name}", "name": name, "order": 1, **deleted} for name in names]
    return {"errcode": 0, "tag_group": [{"group_id": "etG", "group_name": "客户阶段", "order": 3, "tag": tags}]}


async def want(world: World, **wanted: Any) -> None:
    def write(conn: Connection) -> None:
        wanted.setdefault("source", "staff")
        tags.want(conn, "lina", XIAOMAN, reason="试用", now=world.clock.now(), **wanted)

    await world.services.db.write(write)


async def carried(world: World) -> set[str]:
    return {row.tag_name for row in await world.rows(follow_user_tag)}


@pytest.fixture
async def shop(world: World) -> World:
    """小满 is a contact of lina, and the library has three tags."""
    await world.add()
    await world.pass_time(seconds=10)
    for table in (follow_user_tag, corp_tag):  # what the playbooks marked
        await world.services.db.write(lambda conn, table=table: conn.execute(table.delete()))
    world.wecom.say(LIST, library("意向高", "老客", "油皮"))
    await mark_tags.refresh_library(world.services)
    world.wecom.calls.clear()
    return world


async def test_what_several_want_of_one_contact_is_one_call_and_the_last_word_counts(shop: World) -> None:
    await want(shop, add=["意向高", "油皮"], source="channel")
    await want(shop, add=["老客"], remove=["意向高"], source="playbook")
    await want(shop, add=["et油皮"], source="import")
    await shop.settle()
    (call,) = shop.wecom.called(MARK)
    assert (sorted(call["add_tag"]), call["remove_tag"]) == (["et油皮", "et老客"], ["et意向高"])
    assert await carried(shop) == {"老客", "油皮"}
    assert [row.source for row in await shop.rows(follow_user_tag, follow_user_tag.c.tag_name == "老客")] == [
        "playbook"
    ]
    assert not await shop.rows(tag_wish)
    assert not await shop.rows(work_item)


@pytest.mark.usefixtures("shop")
async def test_an_edit_event_after_our_own_mark_changes_nothing(world: World) -> None:
    await want(world, add=["意向高"], source="playbook", expires_at=world.clock.now() + timedelta(days=9))
    await world.settle()
    before = await world.rows(follow_user_tag)
    world.wecom.contacts[XIAOMAN]["follow_user"][0]["tags"] = [
        {"tag_id": "et意向高", "tag_name": "意向高", "group_name": "客户阶段", "type": 1}
    ]
    await world.lose("edit_external_contact")
    await world.pass_time(seconds=30)
    assert await world.rows(follow_user_tag) == before


@pytest.mark.usefixtures("shop")
async def test_a_tag_goes_on_both_sides_when_its_time_is_over_unless_it_was_there_for_good(world: World) -> None:
    soon = world.clock.now() + timedelta(days=1)
    await want(world, add=["老客"])
    await want(world, add=["老客", "意向高"], source="playbook", expires_at=soon)
    await world.settle()
    await want(world, add=["老客"])  # for good after all
    await world.settle()
    await world.pass_time(days=1, seconds=1)
    assert await mark_tags.tick(world.services) == 1
    assert await mark_tags.tick(world.services) == 0
    await world.settle()
    assert world.wecom.called(MARK)[-1]["remove_tag"] == ["et意向高"]
    assert await carried(world) == {"老客"}


@pytest.mark.parametrize(
    ("wanted", "answer", "problem"),
    [
        ("一" * 31, 0, "标签名超过 30 个字"),
        ("意向高", 84061, "好友"),
        ("意向高", 40144, ""),
    ],
)
async def test_a_tag_that_cannot_be_had_says_why_and_the_others_are_put_on(
    shop: World, wanted: str, answer: int, problem: str
) -> None:
    if answer:
        shop.wecom.say(MARK, answer)
    await want(shop, add=[wanted, "油皮"])
    await shop.settle()
    refused = await shop.rows(tag_wish, tag_wish.c.problem != "")
    assert all(problem in row.problem for row in refused)
    assert {row.tag for row in refused} == ({wanted} if not answer else {wanted, "油皮"})
    assert await carried(shop) == (set() if answer else {"油皮"})
    await want(shop, add=["意向高"])  # a new wish is a new try
    await shop.settle()
    assert "意向高" in await carried(shop)


async def test_a_tag_deleted_unheard_is_made_anew_and_marked(shop: World) -> None:
    shop.wecom.say(MARK, 40068)
    shop.wecom.say(LIST, library("老客", "油皮"), library("意向高", deleted=True), library("老客", "油皮"))
    shop.wecom.say(LIST, {"errcode": 0, "tag_group": []})
    made = {"group_id": "etS", "group_name": "SCRM", "tag": [{"id": "etNew", "name": "意向高"}]}
    shop.wecom.say(ADD, {"errcode": 0, "tag_group": made})
    await want(shop, add=["意向高"])
    await shop.settle()
    assert shop.wecom.called(MARK)[-1]["add_tag"] == ["etNew"]
    gone = await shop.rows(corp_tag, corp_tag.c.is_deleted)
    assert "et意向高" in {row.tag_id for row in gone}


async def test_what_a_half_added_customer_is_to_carry_waits_for_the_confirmation(shop: World) -> None:
    def halve(conn: Connection) -> None:
        conn.execute(follow_user.update().values(is_half=True))

    await shop.services.db.write(halve)
    shop.wecom.say(MARK, 84061)
    await want(shop, add=["意向高"], source="channel")
    await shop.settle()
    assert await carried(shop) == set()
    await shop.pass_time(minutes=31)
    assert await carried(shop) == {"意向高"}


async def test_a_storm_of_tag_events_is_one_fetch_and_names_follow(shop: World) -> None:
    await want(shop, add=["意向高", "老客"])
    await shop.settle()
    shop.wecom.calls.clear()
    renamed = library("老客", "油皮", "干皮")
    renamed["tag_group"][0]["tag"][0]["name"] = "回头客"
    shop.wecom.say(LIST, renamed, library("意向高", deleted=True))
    for number, change in enumerate(["create", "create", "update", "delete", "shuffle"] * 4):
        xml = fake.event_xml(
            change, created_at=int(shop.clock.now().timestamp()), event="change_external_tag", Id=f"et{number}"
        )
        assert (await shop.tell(xml)).status == 200
    await shop.settle()
    await shop.pass_time(seconds=4)
    assert [call.get("tag_id") for call in shop.wecom.called(LIST)] == [None, ["et意向高"]]
    assert await carried(shop) == {"回头客"}
    names = {row.tag_name for row in await shop.rows(corp_tag, corp_tag.c.is_deleted.is_(False))}
    assert names == {"回头客", "油皮", "干皮"}


async def test_an_answer_older_than_a_renaming_or_a_deletion_undoes_neither(shop: World) -> None:
    renamed = library("老客", "油皮")
    renamed["tag_group"][0]["tag"][0]["name"] = "回头客"
    shop.wecom.say(LIST, renamed, library("意向高", deleted=True))
    for change in ("update", "delete"):
        at = int(shop.clock.now().timestamp())
        await shop.tell(fake.event_xml(change, created_at=at, event="change_external_tag", Id=f"et-{change}"))
    await shop.settle()
    await shop.pass_time(seconds=4)
    before = await shop.rows(corp_tag)
    old = [
        {"tag_id": tag_id, "tag_name": name, "group_name": "旧组", "type": 1}
        for tag_id, name in (("et老客", "老客"), ("et意向高", "意向高"), ("et新来", "新来"))
    ]
    shop.wecom.add_contact(XIAOMAN, "小满", "lina", follow={"tags": old})
    at = int(shop.clock.now().timestamp())
    await shop.tell(fake.event_xml("edit_external_contact", created_at=at, UserID="lina", ExternalUserID=XIAOMAN))
    await shop.settle()
    await shop.pass_time(seconds=4)
    assert await carried(shop) == {"回头客", "新来"}
    kept = {row.tag_id: row for row in await shop.rows(corp_tag)}
    assert all(kept[row.tag_id] == row for row in before)
