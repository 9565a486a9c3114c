"""Answers that are as documented only nearly are read all the same, and what cannot be used says so."""

import re
from collections.abc import AsyncIterator
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


async def test_an_answer_without_what_was_asked_for_cannot_be_used(other: FakeWeCom, wecom: WeCom) -> None:
    other.say(GET, {"errcode": 0, "follow_user": []})
    with pytest.raises(WeComUnreachable, match="no external_contact"):
        await wecom.contacts.get_external_contact("wm1")
    other.say("externalcontact/add_corp_tag", {"errcode": 0})
    with pytest.raises(WeComUnreachable, match="no tag_group"):
        await wecom.corp_tags.add_corp_tag(["展会"], group_name="来源")
    secret = [{"group_id": "etG", "order": "a phone 13800000000"}]
    other.say("externalcontact/get_corp_tag_list", {"errcode": 0, "tag_group": secret})
    with pytest.raises(WeComUnreachable, match=re.escape("`$[0].order`")) as told:
        await wecom.corp_tags.get_corp_tag_list()
    assert "138" not in str(told.value)
