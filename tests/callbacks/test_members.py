"""Members and the other events of the app: what they are now is asked of WeCom, and who left may not log in."""

from typing import Any

import pytest

from scrm.callbacks.models import inbox_event
from scrm.events import event
from scrm.profiles.conditions.tree import Whom, holds_for
from scrm.profiles.models import external_contact, follow_user, member
from tests.fakes import wecom as fake
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def tell(world: World, name: str, change_type: str = "", **fields: str) -> None:
    created_at = int(world.clock.now().timestamp())
    xml = fake.event_xml(change_type, created_at=created_at, event=name, **fields)
    if "FromUserName" in fields:
        xml = xml.replace("<FromUserName><![CDATA[sys]]></FromUserName>", "")
    assert (await world.tell(xml)).status == 200
    await world.settle()
    await world.pass_time(seconds=12)


async def known(world: World) -> dict[str, tuple[str, bool]]:
    return {row.userid: (row.name, row.is_active) for row in await world.rows(member)}


async def test_a_member_who_joins_changes_and_leaves_is_known_as_wecom_has_it(world: World) -> None:
    await tell(world, "change_contact", "create_user", UserID="lina", Department="1")
    assert await known(world) == {"lina": ("Lina", True)}
    world.wecom.say("user/get", {"errcode": 0, "userid": "lina", "name": "李娜", "status": 2})
    await tell(world, "change_contact", "update_user", UserID="LINA", NewUserID="")
    assert await known(world) == {"lina": ("李娜", False)}
    world.wecom.say("user/get", 60111)
    await tell(world, "change_contact", "delete_user", UserID="lina")
    assert await known(world) == {"lina": ("李娜", False)}


@pytest.mark.parametrize(("errcode", "may_log_in"), [(60111, False), (60011, False), (0, True)])
async def test_a_member_out_of_sight_may_not_log_in_until_wecom_shows_him_again(
    world: World, errcode: int, may_log_in: bool
) -> None:
    await tell(world, "subscribe", FromUserName="lina", AgentID="1000021")
    assert await known(world) == {"lina": ("Lina", True)}
    if errcode:
        world.wecom.say("user/get", errcode)
    await tell(world, "unsubscribe", FromUserName="lina", AgentID="1000021")
    assert await known(world) == {"lina": ("Lina", may_log_in)}
    asked = len(world.wecom.called("user/get"))
    await tell(world, "enter_agent", FromUserName="Lina", AgentID="1000021", EventKey="")
    assert await known(world) == {"lina": ("Lina", True)}
    assert len(world.wecom.called("user/get")) - asked == (0 if may_log_in else 1)


async def test_a_customers_consent_to_archiving_is_no_second_add(world: World) -> None:
    await world.add(WelcomeCode="")
    world.clock.advance(hours=1)
    await world.add(change_type="msg_audit_approved", WelcomeCode="", State="")
    names = [row.name for row in await world.rows(event)]
    assert (names.count("contact.added"), names.count("contact.archiving_agreed")) == (1, 1)


async def test_consent_to_archiving_brings_no_relation_back_that_is_over(world: World) -> None:
    await world.add()
    await world.lose("del_external_contact")
    # WeCom shows none that the member has ended.
    world.wecom.always("externalcontact/get", lambda body: {"errcode": 84061, "errmsg": "not external contact"})
    await world.add(change_type="msg_audit_approved", WelcomeCode="", State="")
    await world.pass_time(seconds=10)
    (row,) = await world.rows(follow_user)
    assert row.ended_by == "member"


async def test_consent_to_archiving_stays_with_the_relation_and_can_be_asked_for(world: World) -> None:
    async def fits(value: str, field: str = "follow.archive_agreed") -> bool:
        tree = {"field": field, "op": "eq", "value": value}
        (contact,) = await world.rows(external_contact)
        whom = Whom(0, contact.person_id, userid="lina", external_userid=XIAOMAN)
        return await world.services.db.read(holds_for, tree, whom, world.clock.now())

    await world.add(WelcomeCode="")
    assert [await fits("未同意"), await fits("已同意")] == [True, False]
    world.clock.advance(hours=1)
    agreed_at = world.clock.now()
    # Before we know the relation's details, twice, and in another spelling.
    world.wecom.say("externalcontact/get", 84061)
    await world.add(change_type="msg_audit_approved", userid="LINA", WelcomeCode="", State="")
    world.clock.advance(hours=1)
    await world.add(change_type="msg_audit_approved", WelcomeCode="", State="")
    await world.lose()
    await world.add(WelcomeCode="again")
    assert [row.archive_agreed_at for row in await world.rows(follow_user)] == [agreed_at]
    assert [await fits("未同意"), await fits("已同意")] == [False, True]
    assert await fits("已同意", "relation.archive_agreed")


async def test_a_transfer_that_failed_is_told_on_the_timeline_and_ends_nothing(world: World) -> None:
    await world.add()
    pair = {"UserID": "wuhao", "ExternalUserID": XIAOMAN}
    await tell(world, "change_external_contact", "transfer_fail", FailReason="customer_refused", **pair)
    (told,) = await world.rows(event, event.c.name == "contact.transfer_failed")
    assert (told.userid, told.facts["reason"]) == ("wuhao", "customer_refused")
    assert [(row.userid, row.ended_by) for row in await world.rows(follow_user)] == [("lina", "")]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("text", {"MsgType": "text", "Content": "今日客户", "MsgId": "1"}),
        ("LOCATION", {"Latitude": "23.1"}),
        ("inactive_alert", {"EffectTime": "1772416800"}),
    ],
)
async def test_what_is_known_but_not_used_is_kept_and_counted(world: World, name: str, fields: dict[str, Any]) -> None:
    xml = fake.event_xml("", created_at=1772416800, event=name, **fields)
    if "MsgType" in fields:
        xml = xml.replace("<MsgType><![CDATA[event]]></MsgType>", "")
    await world.tell(xml)
    await world.settle()
    (kept,) = await world.rows(inbox_event)
    assert (kept.name, kept.state) == (name, "unused")
    metrics = await (await world.client.get("/metrics")).text()
    assert f'event="{name}",state="unused"' in metrics
