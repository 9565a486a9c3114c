"""Answers that are as documented only nearly are read all the same, and what cannot be used says so."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from scrm.wecom.calls import App
from scrm.wecom.client import WeCom
from scrm.wecom.errors import WeComUnreachable
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom

GET = "externalcontact/get"


@pytest.fixture
async def other(aiohttp_server: Any) -> FakeWeCom:
    return FakeWeCom()


@pytest.fixture
async def wecom(other: FakeWeCom, aiohttp_server: Any) -> AsyncIterator[WeCom]:
    server = await aiohttp_server(other.app)
    async with aiohttp.ClientSession() as http:
        api_base = str(server.make_url("")).rstrip("/")
        yield WeCom(http, FakeClock(), App(fake.CORP_ID, fake.AGENT_ID, fake.SECRET, api_base=api_base))


async def test_nulls_numbers_as_text_and_unknown_fields_are_no_trouble(other: FakeWeCom, wecom: WeCom) -> None:
    tag = {"id": "et1", "name": "展会", "order": "7", "create_time": None, "deleted": None, "colour": "red"}
    groups = [
        {"group_id": "etG", "group_name": "来源", "order": None, "tag": [tag, None]},
        {"group_id": "etH", "tag": None},
    ]
    other.say("externalcontact/get_corp_tag_list", {"errcode": "0", "tag_group": groups})
    first, second = await wecom.corp_tags.get_corp_tag_list()
    assert [(one.id, one.name, one.order) for one in first.tag] == [("et1", "展会", 7)]
    assert list(second.tag) == []
    other.say("externalcontact/get_corp_tag_list", {"errcode": 0, "tag_group": None})
    assert await wecom.corp_tags.get_corp_tag_list() == []
    other.say("user/simplelist", {"errcode": 0, "userlist": [{"userid": "lina", "name": None, "department": ["1"]}]})
    (user,) = await wecom.members.user_simplelist(1)
    assert (user.userid, user.name, user.department) == ("lina", "", (1,))
    other.say("externalcontact/get_follow_user_list", {"errcode": 0, "follow_user": None})
    assert await wecom.contacts.get_follow_user_list() == []


async def test_the_pages_of_a_contact_end_when_a_cursor_comes_again(other: FakeWeCom, wecom: WeCom) -> None:
    contact = {"external_userid": "wm1", "name": "小满", "unionid": None}
    other.say(
        GET,
        {"errcode": 0, "external_contact": contact, "follow_user": None, "next_cursor": "c1"},
        # A later page need not say again who it is about.
        *[{"errcode": 0, "follow_user": [{"userid": "lina", "remark": None}], "next_cursor": "c1"}] * 3,
    )
    told = await wecom.contacts.get_external_contact("wm1")
    assert told == {"external_contact": {"external_userid": "wm1", "name": "小满"}, "follow_user": [{"userid": "lina"}]}
    assert len(other.called(GET)) == 2


# Rows that are null, rows whose fields are null, and numbers as text.
NEARLY: dict[str, dict[str, Any]] = {
    "externalcontact/get_groupmsg_list_v2": {
        "group_msg_list": [None, {"msgid": "m", "creator": None, "create_time": "1700000000", "text": None}]
    },
    "externalcontact/get_groupmsg_task": {"task_list": [None, {"userid": "lina", "status": "2", "send_time": None}]},
    "externalcontact/get_moment_list": {"moment_list": [None, {"moment_id": "m", "create_time": "1700000000"}]},
    "externalcontact/get_moment_comments": {"comment_list": None, "like_list": [None, {"userid": "l"}]},
    "externalcontact/get_unassigned_list": {"info": [None, {"handover_userid": "a", "external_userid": "w"}]},
    "externalcontact/groupchat/list": {"group_chat_list": [None, {"chat_id": "wr", "status": None}]},
    "externalcontact/groupchat/get": {"group_chat": {"chat_id": "wr", "member_list": [None, {"userid": "w"}]}},
    "kf/account/list": {"account_list": [None, {"open_kfid": "wk", "name": None}]},
    "kf/sync_msg": {"next_cursor": "c", "has_more": None, "msg_list": [None, {"msgid": "m", "origin": "3"}]},
}


async def test_null_rows_are_left_out_wherever_they_stand(other: FakeWeCom, wecom: WeCom) -> None:
    for path, answer in NEARLY.items():
        other.say(path, answer)
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    messages, moments = wecom.customer_messages, wecom.moments
    assert [one.msgid async for one in messages.get_groupmsg_list_v2("single", since, until)] == ["m"]
    assert [one.userid async for one in messages.get_groupmsg_task("m")] == ["lina"]
    assert [one.moment_id async for one in moments.get_moment_list(since, until)] == ["m"]
    await moments.get_moment_comments("m", "lina")
    assert [len(page) async for page in wecom.transfers.get_unassigned_list()] == [1]
    assert [one.chat_id for one in (await wecom.group_chats.list_group_chats())[0]] == ["wr"]
    assert len((await wecom.group_chats.get_group_chat("wr")).members) == 1
    assert [one.open_kfid for one in await wecom.kf.account_list()] == ["wk"]
    await wecom.kf.sync_msg("wk", cursor="")


async def test_an_answer_without_what_was_asked_for_cannot_be_used(other: FakeWeCom, wecom: WeCom) -> None:
    other.say(GET, {"errcode": 0, "follow_user": []})
    with pytest.raises(WeComUnreachable, match="no external_contact"):
        await wecom.contacts.get_external_contact("wm1")
    other.say("externalcontact/add_corp_tag", {"errcode": 0})
    with pytest.raises(WeComUnreachable, match="no tag_group"):
        await wecom.corp_tags.add_corp_tag(["展会"], group_name="来源")
    other.say("externalcontact/add_contact_way", {"errcode": 0, "config_id": None})
    with pytest.raises(WeComUnreachable, match="no config_id") as lost:
        await wecom.contact_ways.add_contact_way(user=["lina"], state="s")
    assert lost.value.perhaps_done
    secret = [{"group_id": "etG", "order": "a phone 13800000000"}]
    other.say("externalcontact/get_corp_tag_list", {"errcode": 0, "tag_group": secret})
    with pytest.raises(WeComUnreachable, match=re.escape("`$[0].order`")) as told:
        await wecom.corp_tags.get_corp_tag_list()
    assert "138" not in str(told.value)
