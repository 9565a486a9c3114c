"""Customer service as WeCom keeps it: cursors, codes, sessions, five answers in 48 hours."""

from datetime import timedelta
from typing import Any

import pytest

from scrm.sandbox.talking import add_kf_account
from tests.sandbox.conftest import Wecom


@pytest.fixture
def kfid(wecom: Wecom) -> str:
    return add_kf_account(wecom.sandbox, "晴屿客服", ["lina"]).open_kfid


async def sync(wecom: Wecom, kfid: str, cursor: str = "", **more: Any) -> dict[str, Any]:
    return await wecom.call("kf/sync_msg", open_kfid=kfid, cursor=cursor, **more)


async def send(wecom: Wecom, kfid: str, msgid: str) -> int:
    touser = wecom.sandbox.get_wechat_user("xiaoman").external_userid
    body = {"touser": touser, "open_kfid": kfid, "msgid": msgid, "msgtype": "text", "text": {"content": "您好"}}
    return int((await wecom.call("kf/send_msg", **body))["errcode"])


async def test_entering_brings_a_code_of_one_use_and_twenty_seconds(wecom: Wecom, kfid: str) -> None:
    await wecom.control("kf_enter", user="xiaoman", scene="poster")
    await wecom.sandbox.settle()
    assert kfid in wecom.app.events[-1]
    page = await sync(wecom, kfid)
    (entered,) = page["msg_list"]
    assert entered["event"]["scene"] == "poster"
    code = entered["event"]["welcome_code"]
    body = {"code": code, "msgtype": "text", "text": {"content": "欢迎"}}
    assert (await wecom.call("kf/send_msg_on_event", **body))["errcode"] == 0
    assert (await wecom.call("kf/send_msg_on_event", **body))["errcode"] == 95007
    await wecom.control("kf_enter", user="xiaoman")
    (again,) = (await sync(wecom, kfid, page["next_cursor"]))["msg_list"]
    assert "welcome_code" not in again["event"]
    await wecom.control("kf_enter", user="aning")
    late = (await sync(wecom, kfid))["msg_list"][-1]["event"]["welcome_code"]
    wecom.clock.advance(timedelta(seconds=22))
    assert (await wecom.call("kf/send_msg_on_event", **{**body, "code": late}))["errcode"] == 95007


async def test_five_answers_within_48_hours_and_none_twice(wecom: Wecom, kfid: str) -> None:
    await wecom.control("kf_say", user="xiaoman", text="在吗")
    assert await send(wecom, kfid, "m0") == 0
    assert await send(wecom, kfid, "m0") == 95033
    assert [await send(wecom, kfid, f"m{number}") for number in range(1, 6)] == [0, 0, 0, 0, 95001]
    await wecom.control("kf_say", user="xiaoman", text="？")
    assert await send(wecom, kfid, "n0") == 0
    wecom.clock.advance(timedelta(hours=49))
    wecom.access_token = ""
    assert await send(wecom, kfid, "n1") == 95002


async def test_what_people_answer_the_api_may_not(wecom: Wecom, kfid: str) -> None:
    await wecom.control("kf_say", user="xiaoman", text="在吗")
    who = {"open_kfid": kfid, "external_userid": wecom.sandbox.get_wechat_user("xiaoman").external_userid}
    assert (await wecom.call("kf/service_state/trans", **who, service_state=2))["msg_code"]
    assert await send(wecom, kfid, "m1") == 95018
    assert (await wecom.call("kf/service_state/trans", **who, service_state=1))["errcode"] == 95016
    await wecom.control("kf_answer", user="xiaoman", userid="lina", text="我来")
    state = await wecom.call("kf/service_state/get", **who)
    assert (state["service_state"], state["servicer_userid"]) == (3, "lina")


async def test_pages_go_on_from_their_cursor_and_a_token_lives_ten_minutes(wecom: Wecom, kfid: str) -> None:
    for number in range(5):
        await wecom.control("kf_say", user="xiaoman", text=str(number))
    cursor, seen = "", []
    while True:
        page = await sync(wecom, kfid, cursor, limit=2)
        seen += [message["text"]["content"] for message in page["msg_list"]]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            break
    assert seen == list("01234")
    token = next(iter(wecom.sandbox.world.kf.tokens))
    wecom.clock.advance(timedelta(minutes=11))
    assert (await sync(wecom, kfid, token=token))["errcode"] == 95007
    wecom.clock.advance(timedelta(days=3))
    wecom.access_token = ""
    assert (await sync(wecom, kfid))["msg_list"] == []
