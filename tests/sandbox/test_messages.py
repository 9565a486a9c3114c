"""Messages of the app to members, and what members press."""

from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import AGENT_ID, Wecom

CARD: dict[str, Any] = {
    "card_type": "button_interaction",
    "task_id": "sop-20260105-000123@d1",
    "main_title": {"title": "第 3 天跟进", "desc": "今天有 2 位顾客"},
    "button_list": [{"text": "已完成", "key": "done:123"}, {"text": "推迟", "key": "delay:123"}],
}
NOTICE: dict[str, Any] = {
    "card_type": "text_notice",
    "main_title": {"title": "跟进"},
    "card_action": {"type": 1, "url": "https://crm.example/task/1"},
}


async def send(wecom: Wecom, **body: Any) -> dict[str, Any]:
    return await wecom.call("message/send", **{"agentid": AGENT_ID, "touser": "lina", **body})


async def test_a_text_reaches_the_member_and_wrong_names_come_back_in_lower_case(wecom: Wecom) -> None:
    answer = await send(wecom, touser="LINA|NoBody", msgtype="text", text={"content": "今天有 2 位顾客"})
    assert (answer["errcode"], answer["invaliduser"]) == (0, "nobody")
    assert wecom.sandbox.world.app_messages["lina"][0].msgid == answer["msgid"]


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"touser": "nobody", "msgtype": "text", "text": {"content": "a"}}, 81013),
        ({"touser": "", "msgtype": "text", "text": {"content": "a"}}, 82001),
        ({"agentid": 1, "msgtype": "text", "text": {"content": "a"}}, 40056),
        ({"agentid": str(AGENT_ID), "msgtype": "text", "text": {"content": "a"}}, 40056),
        ({"msgtype": "text", "text": {"content": ""}}, 44004),
        ({"msgtype": "poem", "poem": {}}, 40008),
        ({"msgtype": "text"}, 40063),
        ({"msgtype": "textcard", "textcard": {"title": "a", "description": "b", "url": "crm.example"}}, 40058),
        ({"msgtype": "textcard", "textcard": {"title": "a", "description": "b"}}, 40063),
        ({"msgtype": "news", "news": {"articles": [{}] * 9}}, 45008),
    ],
)
async def test_a_wrong_message_is_refused(wecom: Wecom, body: dict[str, Any], errcode: int) -> None:
    assert (await send(wecom, **body))["errcode"] == errcode


async def test_a_long_text_is_cut_at_2048_bytes(wecom: Wecom) -> None:
    await send(wecom, msgtype="text", text={"content": "字" * 1000})
    assert wecom.sandbox.world.app_messages["lina"][0].body["text"]["content"] == "字" * 682


async def test_the_same_message_within_the_interval_is_delivered_once(wecom: Wecom) -> None:
    body = {"msgtype": "text", "text": {"content": "a"}, "enable_duplicate_check": 1, "duplicate_check_interval": 600}
    first, second = await send(wecom, **body), await send(wecom, **body)
    assert second == first
    assert len(wecom.sandbox.world.app_messages["lina"]) == 1
    wecom.clock.advance(timedelta(seconds=601))
    await send(wecom, **body)
    assert len(wecom.sandbox.world.app_messages["lina"]) == 2


async def test_more_than_thirty_in_a_minute_are_dropped_silently(wecom: Wecom) -> None:
    for number in range(31):
        assert (await send(wecom, msgtype="text", text={"content": str(number)}))["errcode"] == 0
    assert len(wecom.sandbox.world.app_messages["lina"]) == 30


@pytest.mark.parametrize(
    ("card", "errcode"),
    [
        (CARD | {"card_type": "poem"}, 42031),
        (CARD | {"task_id": "with space"}, 42014),
        (CARD | {"main_title": {}}, 42033),
        (CARD | {"button_list": []}, 42035),
        (CARD | {"button_list": [{"key": "a"}]}, 42038),
        (CARD | {"button_list": [{"text": "a"}]}, 42039),
        (CARD | {"button_list": [{"text": "a", "key": "k"}, {"text": "b", "key": "k"}]}, 42051),
        (CARD | {"horizontal_content_list": [{"value": "a"}]}, 42027),
        (CARD | {"horizontal_content_list": [{"keyname": "a", "type": 1}]}, 42028),
        (CARD | {"horizontal_content_list": [{"keyname": "a"}] * 7}, 42036),
        (CARD | {"button_selection": {"title": "a", "option_list": [{"id": "1", "text": "a"}]}}, 42043),
        (CARD | {"button_selection": {"question_key": "q", "option_list": []}}, 42047),
        (NOTICE | {"card_action": {"type": 0}}, 42045),
        (NOTICE | {"card_action": {"type": 1}}, 42028),
        (NOTICE | {"jump_list": [{"type": 1, "url": "https://a.example"}]}, 42033),
        (NOTICE | {"card_type": "news_notice"}, 42044),
        (CARD | {"card_type": "vote_interaction"}, 42046),
    ],
)
async def test_a_wrong_card_is_refused_by_its_own_errcode(wecom: Wecom, card: dict[str, Any], errcode: int) -> None:
    assert (await send(wecom, msgtype="template_card", template_card=card))["errcode"] == errcode


async def test_a_notice_has_no_response_code_and_buttons_have_one(wecom: Wecom) -> None:
    notice = await send(wecom, msgtype="template_card", template_card=NOTICE)
    buttons = await send(wecom, msgtype="template_card", template_card=CARD)
    assert notice["errcode"] == buttons["errcode"] == 0
    assert "response_code" not in notice
    assert buttons["response_code"]


async def test_a_pressed_button_comes_back_with_a_code_that_updates_the_card_once(wecom: Wecom) -> None:
    msgid = (await send(wecom, msgtype="template_card", template_card=CARD))["msgid"]
    status, _ = await wecom.control("card", userid="lina", msgid=msgid, key="done:123", selected={"q": ["1"]})
    await wecom.sandbox.settle()
    [event] = wecom.app.events
    assert status == 200
    assert "<Event><![CDATA[template_card_event]]></Event>" in event
    assert "<FromUserName><![CDATA[lina]]></FromUserName>" in event
    assert f"<AgentID>{AGENT_ID}</AgentID>" in event
    assert "<OptionId><![CDATA[1]]></OptionId>" in event
    code = event.split("<ResponseCode><![CDATA[")[1].split("]]>")[0]
    body = {"userids": ["lina", "NoBody"], "agentid": AGENT_ID, "response_code": code}
    done = await wecom.call("message/update_template_card", **body, button={"replace_name": "已完成"})
    assert (done["errcode"], done["invaliduser"]) == (0, ["nobody"])
    assert wecom.sandbox.world.app_messages["lina"][0].replaced_button == "已完成"
    again = await wecom.call("message/update_template_card", **body, button={"replace_name": "已完成"})
    assert again["errcode"] == 60140


async def test_a_message_is_recalled_within_a_day(wecom: Wecom) -> None:
    first = await send(wecom, msgtype="text", text={"content": "a"})
    assert (await wecom.call("message/recall", msgid=first["msgid"]))["errcode"] == 0
    assert wecom.sandbox.world.app_messages["lina"][0].is_recalled
    wecom.clock.advance(timedelta(hours=25))
    wecom.access_token = ""
    assert (await wecom.call("message/recall", msgid=first["msgid"]))["errcode"] == 42052
