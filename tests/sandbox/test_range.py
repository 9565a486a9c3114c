"""Whom the app may see, colleagues of other corps, and the two readings of what the document leaves open."""

import json

from scrm.sandbox import gathering
from tests.sandbox.conftest import Wecom

CONTACT = "externalcontact/{}"


async def test_whoever_is_out_of_range_is_missing_or_refused_and_nothing_is_told_of_them(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    await wecom.sandbox.settle()
    userid = "lina"
    await wecom.sandbox.confirm(userid, external_userid)
    group = gathering.create_group(wecom.sandbox, userid, "会员群")
    await wecom.sandbox.settle()
    before = len(wecom.app.events)
    await wecom.control("member_range", userid=userid, visible=False)
    await wecom.sandbox.settle()
    told = wecom.app.events[before:]
    assert len(told) == 1
    assert "<Event><![CDATA[unsubscribe]]>" in told[0]
    assert f"<FromUserName><![CDATA[{userid}]]>" in told[0]
    for path, query in (
        ("user/get", {"userid": userid}),
        (CONTACT.format("list"), {"userid": userid}),
    ):
        assert (await wecom.call(path, query))["errcode"] == 60011, path
    for path, body in (
        ("batch/get_by_user", {"userid_list": [userid]}),
        ("remark", {"userid": userid, "external_userid": external_userid, "remark": "x"}),
        ("add_contact_way", {"type": 1, "scene": 2, "user": [userid]}),
        ("groupchat/get", {"chat_id": group.chat_id}),
    ):
        assert (await wecom.call(CONTACT.format(path), **body))["errcode"] == 60011, path
    assert (await wecom.call(CONTACT.format("get"), {"external_userid": external_userid}))["errcode"] == 84061
    assert userid not in (await wecom.call(CONTACT.format("get_follow_user_list")))["follow_user"]
    seen = await wecom.call("agent/get", {"agentid": str(wecom.sandbox.config.agent_id)})
    assert userid not in {one["userid"] for one in seen["allow_userinfos"]["user"]}
    assert (await wecom.call(CONTACT.format("groupchat/list"), limit=10))["group_chat_list"] == []
    body = {"msgtype": "text", "agentid": wecom.sandbox.config.agent_id, "text": {"content": "早"}}
    assert (await wecom.call("message/send", touser=userid, **body))["errcode"] == 81013
    # What happens meanwhile is found by a sync, when the member is back.
    await wecom.sandbox.edit_contact(userid, external_userid, remark="满姐")
    gathering.rename(wecom.sandbox, group.chat_id, "老客群")
    await wecom.sandbox.settle()
    assert len(wecom.app.events) == before + 1
    refused = await wecom.control("member_range", userid=userid, visible=False)
    assert refused == (409, {"error": "李娜已经不在应用的可见范围里。"})
    await wecom.control("member_range", userid=userid, visible=True)
    await wecom.sandbox.settle()
    assert "<Event><![CDATA[subscribe]]>" in wecom.app.events[-1]
    found = await wecom.call(CONTACT.format("get"), {"external_userid": external_userid})
    assert found["follow_user"][0]["remark"] == "满姐"


async def test_a_colleague_of_another_corp_is_type_2_and_gets_no_welcome(wecom: Wecom) -> None:
    user = wecom.sandbox.add_wechat_user("buyer", "张采购", unionid="oNobody", corp_name="青禾商贸")
    assert (user.external_userid[:2], len(user.external_userid)) == ("wo", 32)
    await wecom.sandbox.scan("buyer", wecom.config_id)
    await wecom.sandbox.settle()
    assert "<ExternalUserID>" in wecom.app.events[-1]
    assert "WelcomeCode" not in "".join(wecom.app.events)
    found = await wecom.call(CONTACT.format("get"), {"external_userid": user.external_userid})
    contact = found["external_contact"]
    assert (contact["type"], contact["corp_name"], contact["corp_full_name"]) == (2, "青禾商贸", "青禾商贸")
    assert "unionid" not in contact
    assert "remark_corp_name" not in found["follow_user"][0]


async def test_calls_are_echoed_and_envelopes_are_json_when_somebody_says_so(wecom: Wecom) -> None:
    external_userid, userid = (await wecom.scan())[0], "lina"
    await wecom.sandbox.settle()
    before = len(wecom.app.bodies)
    pair = {"userid": userid, "external_userid": external_userid}
    await wecom.call(CONTACT.format("remark"), **pair, remark="满姐")
    await wecom.sandbox.settle()
    assert len(wecom.app.bodies) == before
    wecom.sandbox.faults.echo_edits = True
    await wecom.call(CONTACT.format("remark"), **pair, remark="满满")
    await wecom.sandbox.settle()
    assert "edit_external_contact" in wecom.app.events[-1]
    wecom.sandbox.faults.json_callbacks = True
    await wecom.sandbox.edit_contact(userid, external_userid, remark="小满")
    await wecom.sandbox.settle()
    sealed = json.loads(wecom.app.bodies[-1])
    assert sorted(sealed) == ["agentid", "encrypt", "tousername"]
    assert "edit_external_contact" in wecom.sandbox.deliveries.envelope.decrypt(sealed["encrypt"])
