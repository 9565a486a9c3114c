"""Acquisition links: made, shared by channel, followed by their events, and warned of in time."""

from typing import Any

import pytest

from scrm.contact_ways import acquisition
from scrm.contact_ways.models import acquisition_customer, acquisition_link, acquisition_step, contact_way, way_add
from scrm.contact_ways.plan import Plan
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import event
from scrm.profiles.models import follow_user_tag
from scrm.wecom.acquisition import scheme_of, with_channel
from scrm.work.progress import Progress
from tests.fakes import wecom as fake
from tests.world import XIAOMAN, World

PATH = "externalcontact/customer_acquisition/{}"
LINK = {
    "link_id": "caA",
    "link_name": "抖音投放",
    "url": "https://work.weixin.qq.com/ca/caA",
    "create_time": 1772000000,
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def link_id(world: World) -> str:
    world.wecom.say(PATH.format("create_link"), {"errcode": 0, "link": LINK})
    return await acquisition.make_link(world.services, "抖音投放", ["lina"])


async def tell(world: World, change_type: str, **fields: str) -> None:
    created_at = int(world.clock.now().timestamp())
    xml = fake.event_xml(change_type, created_at=created_at, event="customer_acquisition", **fields)
    assert (await world.tell(xml)).status == 200
    await world.settle()


async def channel(world: World, link_id: str, state: str, **more: Any) -> str:
    return await world.services.db.write(
        lambda conn: acquisition.add_channel(
            conn, link_id, title="达人 A", kind="投放", state=state, now=world.clock.now(), **more
        )
    )


async def test_a_channel_of_a_link_is_counted_and_marked_like_a_code(world: World, link_id: str) -> None:
    await channel(world, link_id, "dy-a", plan=Plan(tags=("抖音",)))
    with pytest.raises(Conflict):
        await channel(world, link_id, "dy-a")
    await world.add(State="dy-a")
    await world.settle()
    assert [row.state for row in await world.rows(way_add)] == ["dy-a"]
    assert "抖音" in {row.tag_name for row in await world.rows(follow_user_tag)}
    kinds = [row.facts.get("channel") for row in await world.rows(event, event.c.name == "contact.added")]
    assert kinds == [{"kind": "投放", "title": "达人 A"}]


def test_the_address_of_a_channel_is_escaped_and_never_cut() -> None:
    assert with_channel("https://x/ca/1", "a b&c") == "https://x/ca/1?customer_channel=a%20b%26c"
    assert with_channel("https://x/ca/1?p=2", "a") == "https://x/ca/1?p=2&customer_channel=a"
    assert scheme_of("https://x/ca/1?c=a") == "weixin://biz/ww/profile/https%3A%2F%2Fx%2Fca%2F1%3Fc%3Da"
    with pytest.raises(ValueError, match="64"):
        with_channel("https://x", "一" * 22)


async def test_every_event_leaves_its_mark_once(world: World, link_id: str) -> None:
    await channel(world, link_id, "dy-a")
    world.wecom.say("externalcontact/customer_acquisition_quota", {"errcode": 0, "total": 100, "balance": 7})
    for change_type, fields in (
        ("balance_low", {}),
        ("open_profile", {"LinkId": link_id, "State": "dy-a"}),
        ("open_profile", {"LinkId": link_id, "State": "dy-a"}),  # the same body again: handled once
        ("friend_request", {"LinkId": link_id, "State": "dy-a"}),
        ("message_from_customer", {"LinkId": link_id, "ChatKey": "CK1"}),
        ("customer_start_chat", {"UserID": "lina", "ExternalUserID": XIAOMAN, "LinkId": link_id}),
        ("del_follow_user", {"UserID": "lina", "ExternalUserID": XIAOMAN, "LinkId": link_id}),
        ("link_unavailable", {"LinkId": link_id}),
        ("quota_expire_soon", {"ExpireTime": "1785900000", "ExpireQuotaNum": "120"}),
    ):
        await tell(world, change_type, **fields)
    await world.pass_time(seconds=11)
    quota = await world.services.db.read(acquisition.find_quota)
    assert (quota.balance, quota.warning) == (7, "quota_expire_soon")
    steps = await world.services.db.read(acquisition.count_steps, "2000-01-01")
    assert steps == {
        (link_id, "open_profile"): 1, (link_id, "friend_request"): 1, (link_id, "message_from_customer"): 1,
    }  # fmt: skip
    assert [(row.chat_status, row.started_chat_at is not None) for row in await world.rows(acquisition_customer)] == [
        (1, True)
    ]
    assert [row.condition for row in await world.rows(acquisition_link)] == ["unavailable"]
    await tell(world, "balance_increased")
    await tell(world, "delete_link", LinkId=link_id)
    assert (await world.services.db.read(acquisition.find_quota)).warning == ""
    assert [row.condition for row in await world.rows(acquisition_link)] == ["deleted"]
    assert all(row.deleted_at for row in await world.rows(contact_way))
    assert len(await world.rows(acquisition_step)) == 3


async def test_a_sync_keeps_links_and_customers_and_ends_only_what_wecom_does_not_know(
    world: World, link_id: str
) -> None:
    world.wecom.say(PATH.format("create_link"), {"errcode": 0, "link": {**LINK, "link_id": "caGone"}})
    await acquisition.make_link(world.services, "旧链接", ["lina"])
    world.wecom.say(PATH.format("list_link"), {"errcode": 0, "link_id_list": [link_id], "next_cursor": ""})
    told = {"link": {"link_name": "抖音投放 2", "url": LINK["url"]}, "range": {"user_list": ["lina", "wuhao"]}}
    world.wecom.say(PATH.format("get"), {"errcode": 0, **told}, 40058)
    page = {"external_userid": XIAOMAN, "userid": "lina", "chat_status": 0, "state": "dy-a"}
    world.wecom.say(
        PATH.format("customer"),
        {"errcode": 0, "customer_list": [page], "next_cursor": "2"},
        {"errcode": 0, "customer_list": [{**page, "userid": "wuhao", "chat_status": 1}], "next_cursor": ""},
    )
    progress = Progress()
    await acquisition.sync_links(world.services, progress, False)
    rows = {row.link_id: row for row in await world.rows(acquisition_link)}
    assert (rows[link_id].title, rows[link_id].userids) == ("抖音投放 2", ["lina", "wuhao"])
    assert rows["caGone"].condition == "deleted"
    assert (await world.services.db.read(acquisition.count_customers)) == {link_id: (2, 1)}


async def test_what_wecom_would_refuse_is_refused_first(world: World) -> None:
    for title, userids in (("", ["lina"]), ("一" * 31, ["lina"]), ("抖音", [])):
        with pytest.raises(Invalid):
            await acquisition.make_link(world.services, title, userids)
    with pytest.raises(NotFound):
        await acquisition.change_link(world.services, "caNobody", "抖音", ["lina"])
    assert not world.wecom.calls
