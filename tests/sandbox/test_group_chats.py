"""Customer groups of the sandbox: versions, events, codes that go on to the next group, limits and errors."""

import re
from datetime import timedelta
from typing import Any

import pytest

from scrm.sandbox import gathering
from tests.sandbox.conftest import Wecom

LIST, GET = "externalcontact/groupchat/list", "externalcontact/groupchat/get"
WAY, WELCOME = "externalcontact/groupchat/{}_join_way", "externalcontact/group_welcome_template/{}"


def field(xml: str, name: str) -> str:
    found = re.search(rf"<{name}>(?:<!\[CDATA\[)?([^<\]]*)", xml)
    return found[1] if found else ""


async def make(wecom: Wecom, **more: Any) -> str:
    status, answer = await wecom.control("group_create", **{"owner": "lina", "name": "茶友 1 群", **more})
    assert status == 200, answer
    return str(answer["chat_id"])


async def test_each_coming_and_going_changes_the_version_and_names_both_in_its_event(wecom: Wecom) -> None:
    chat_id = await make(wecom, people=["xiaoman"])
    await wecom.control("group_join", chat_id=chat_id, people=["aning", "WuHao"], scene=3, state="grp-a")
    await wecom.control("group_leave", chat_id=chat_id, people=["xiaoman"], removed=True)
    await wecom.control("group_rename", chat_id=chat_id, name="茶友总群")
    await wecom.sandbox.settle()
    told = sorted(wecom.app.events, key=lambda xml: xml.count("Ver>"))
    assert {field(xml, "Event") for xml in told} == {"change_external_chat"}
    chain = {field(xml, "LastMemVer"): field(xml, "CurMemVer") for xml in told if field(xml, "CurMemVer")}
    group = (await wecom.call(GET, chat_id=chat_id, need_name=1))["group_chat"]
    version = next(iter(chain.keys() - set(chain.values())))
    for _ in chain:
        version = chain[version]
    assert version == group["member_version"]
    joined = next(xml for xml in told if field(xml, "JoinScene") == "3")
    assert (field(joined, "MemChangeCnt"), joined.count("<Item>")) == ("2", 2)
    left = next(xml for xml in told if field(xml, "UpdateDetail") == "del_member")
    assert (field(left, "QuitScene"), field(left, "JoinScene")) == ("1", "")
    assert group["name"] == "茶友总群"
    aning = next(row for row in group["member_list"] if row["name"] == "阿宁")
    assert (aning["type"], aning["join_scene"], aning["state"]) == (2, 3, "grp-a")


async def test_details_may_stay_behind_the_event_and_a_dismissed_group_is_49008(wecom: Wecom) -> None:
    chat_id = await make(wecom)
    await wecom.control("group_lag", seconds=2)
    await wecom.control("group_join", chat_id=chat_id, people=["xiaoman"])
    assert len((await wecom.call(GET, chat_id=chat_id))["group_chat"]["member_list"]) == 1
    wecom.clock.advance(timedelta(seconds=3))
    assert len((await wecom.call(GET, chat_id=chat_id))["group_chat"]["member_list"]) == 2
    await wecom.control("group_dismiss", chat_id=chat_id)
    assert (await wecom.call(GET, chat_id=chat_id))["errcode"] == 49008
    assert (await wecom.call(LIST, limit=10))["group_chat_list"] == []
    assert (await wecom.control("group_join", chat_id=chat_id, people=["aning"]))[0] == 409


async def test_a_full_group_gives_way_to_the_next_or_to_a_new_one(
    wecom: Wecom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "FULL_FOR_CODES", 2)
    chat_id = await make(wecom)
    fields = {"scene": 2, "chat_id_list": [chat_id], "state": "grp-a", "room_base_name": "茶友", "room_base_id": 2}
    config_id = (await wecom.call(WAY.format("add"), **fields))["config_id"]
    assert (await wecom.control("group_scan", user="xiaoman", config_id=config_id))[1]["chat_id"] == chat_id
    _, answer = await wecom.control("group_scan", user="aning", config_id=config_id)
    new = (await wecom.call(GET, chat_id=answer["chat_id"]))["group_chat"]
    assert (new["name"], answer["chat_id"] != chat_id) == ("茶友2", True)
    way = (await wecom.call(WAY.format("get"), config_id=config_id))["join_way"]
    assert (len(way["chat_id_list"]), way["room_base_id"], way["state"]) == (2, 3, "grp-a")
    async with wecom.http.get(way["qr_code"]) as picture:
        assert (picture.status, picture.content_type) == (200, "image/png")
    await wecom.call(WAY.format("update"), **{**fields, "config_id": config_id, "auto_create_room": 0})
    wecom.sandbox.add_wechat_user("third", "三妹")
    assert (await wecom.control("group_scan", user="third", config_id=config_id))[0] == 409
    await wecom.call(WAY.format("del"), config_id=config_id)
    assert (await wecom.call(WAY.format("get"), config_id=config_id))["errcode"] == 41044


async def test_welcome_materials_are_kept_edited_and_limited(wecom: Wecom) -> None:
    link = {"title": "新人礼", "url": "https://example.com/gift"}
    body = {"text": {"content": "欢迎 %NICKNAME%"}, "link": link, "notify": 0}
    template_id = (await wecom.call(WELCOME.format("add"), **body))["template_id"]
    assert (await wecom.call(WELCOME.format("get"), template_id=template_id))["link"]["title"] == "新人礼"
    await wecom.call(WELCOME.format("edit"), template_id=template_id, text={"content": "你好"})
    assert "link" not in await wecom.call(WELCOME.format("get"), template_id=template_id)
    wecom.sandbox.world.group_chats.foreign_welcomes.add("msgForeign")
    assert (await wecom.call(WELCOME.format("del"), template_id="msgForeign"))["errcode"] == 41058
    for _ in range(99):
        await wecom.call(WELCOME.format("add"), text={"content": "x"})
    assert (await wecom.call(WELCOME.format("add"), text={"content": "x"}))["errcode"] == 41055


REFUSALS: tuple[tuple[str, dict[str, Any], int], ...] = (
    (LIST, {}, 40058),
    (LIST, {"limit": 1001}, 40058),
    (LIST, {"limit": 10, "status_filter": 9}, 40058),
    (LIST, {"limit": 10, "owner_filter": {"userid_list": ["x"] * 101}}, 40058),
    (GET, {"chat_id": "wrNobody"}, 40050),
    ("externalcontact/opengid_to_chatid", {"opengid": "ogNobody"}, 90511),
    (WAY.format("add"), {"scene": 2, "chat_id_list": ["wr"] * 6}, 41091),
    (WAY.format("add"), {"chat_id_list": ["wr"]}, 41038),
    (WAY.format("add"), {"scene": 2, "chat_id_list": ["wrNobody"]}, 40050),
    (WAY.format("del"), {}, 41043),
    (WELCOME.format("add"), {"text": {"content": "字" * 1001}}, 40058),
    (WELCOME.format("add"), {}, 40058),
    (WELCOME.format("add"), {"file": {"media_id": "gone"}}, 40007),
    ("externalcontact/groupchat/statistic", {}, 40058),
    ("externalcontact/groupchat/statistic_group_by_day", {"day_begin_time": 1_500_000_000}, 40058),
)


@pytest.mark.parametrize(("endpoint", "body", "errcode"), REFUSALS)
async def test_what_wecom_refuses_is_refused(wecom: Wecom, endpoint: str, body: dict[str, Any], errcode: int) -> None:
    assert (await wecom.call(endpoint, **body))["errcode"] == errcode


async def test_statistics_count_per_owner_and_per_day_and_end_yesterday(wecom: Wecom) -> None:
    chat_id = await make(wecom, people=["xiaoman", "aning"])
    await make(wecom, owner="WuHao")
    began = int(wecom.clock.now().timestamp())
    wecom.clock.advance(timedelta(days=2))
    await wecom.control("group_leave", chat_id=chat_id, people=["aning"])
    span = {"day_begin_time": began, "day_end_time": began + 86400}
    answer = await wecom.call("externalcontact/groupchat/statistic", **span, order_by=3)
    assert [(item["owner"], item["data"]["new_member_cnt"]) for item in answer["items"]] == [("lina", 2), ("WuHao", 0)]
    assert (answer["total"], answer["next_offset"]) == (2, 2)
    days = (await wecom.call("externalcontact/groupchat/statistic_group_by_day", **span))["items"]
    assert [day["data"]["new_chat_cnt"] for day in days] == [2, 0]
