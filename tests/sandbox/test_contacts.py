"""Customers, notes, tags and channel codes through the server API."""

import asyncio
import json

from tests.sandbox.conftest import Wecom


async def test_a_customer_is_read_with_every_member_who_follows(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    group = wecom.sandbox.add_tag_group("意向", ["高意向"])
    await wecom.sandbox.edit_contact(
        "lina", external_userid, remark="小满 展会", mobiles=["13900000000"], tags=[group.tags[0].id]
    )
    answer = await wecom.call("externalcontact/get", {"external_userid": external_userid})
    contact, [follow] = answer["external_contact"], answer["follow_user"]
    assert contact["name"] == "陈小满"
    assert contact["unionid"] == "oDemoUnion0001"
    assert contact["external_userid"].startswith("wm")
    assert len(contact["external_userid"]) == 32
    assert (follow["userid"], follow["remark"], follow["state"]) == ("lina", "小满 展会", "expo-a")
    assert follow["remark_mobiles"] == ["13900000000"]
    tag = {"group_name": "意向", "tag_name": "高意向", "tag_id": group.tags[0].id, "type": 1}
    assert follow["tags"] == [tag]


async def test_ids_follow_from_corp_and_key_and_survive_a_restart(wecom: Wecom) -> None:
    first = wecom.sandbox.get_wechat_user("xiaoman").external_userid
    assert wecom.sandbox.add_wechat_user("xiaoman", "陈小满").external_userid == first


async def test_reading_what_is_not_a_contact_is_refused(wecom: Wecom) -> None:
    stranger = wecom.sandbox.get_wechat_user("aning").external_userid
    assert (await wecom.call("externalcontact/get"))["errcode"] == 41035
    assert (await wecom.call("externalcontact/get", {"external_userid": "wmUnknown"}))["errcode"] == 40096
    assert (await wecom.call("externalcontact/get", {"external_userid": stranger}))["errcode"] == 84061


async def test_a_member_without_customers_lists_84061(wecom: Wecom) -> None:
    assert (await wecom.call("externalcontact/list", {"userid": "lina"}))["errcode"] == 84061
    assert (await wecom.call("externalcontact/list", {"userid": "nobody"}))["errcode"] == 60111
    external_userid, _ = await wecom.scan()
    assert (await wecom.call("externalcontact/list", {"userid": "lina"}))["external_userid"] == [external_userid]


async def test_who_deleted_whom_decides_whether_calls_work(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    query = {"external_userid": external_userid}
    await wecom.sandbox.delete_member("xiaoman", "lina")
    assert (await wecom.call("externalcontact/get", query))["errcode"] == 0
    await wecom.sandbox.delete_contact("lina", external_userid)
    assert (await wecom.call("externalcontact/get", query))["errcode"] == 84061


async def test_a_half_added_contact_may_be_unreadable_until_confirmed(wecom: Wecom) -> None:
    wecom.sandbox.faults.unconfirmed_contacts_unreadable = True
    external_userid, _ = await wecom.scan()
    query = {"external_userid": external_userid}
    assert (await wecom.call("externalcontact/get", query))["errcode"] == 84061
    await wecom.sandbox.confirm("lina", external_userid)
    assert (await wecom.call("externalcontact/get", query))["errcode"] == 0


async def test_many_customers_are_read_page_by_page_with_tag_ids(wecom: Wecom) -> None:
    for number in range(5):
        wecom.sandbox.add_wechat_user(f"guest{number}", f"顾客{number}")
        wecom.sandbox.add_contact_seed(f"guest{number}", "lina", tag_ids=["et1"])
    pages: list[list[str]] = []
    cursor = ""
    while not pages or cursor:
        answer = await wecom.call("externalcontact/batch/get_by_user", userid_list=["lina"], cursor=cursor, limit=2)
        pages.append([row["external_contact"]["name"] for row in answer["external_contact_list"]])
        assert all(row["follow_info"]["tag_id"] == ["et1"] for row in answer["external_contact_list"])
        cursor = answer["next_cursor"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert len({name for page in pages for name in page}) == 5
    bad = await wecom.call("externalcontact/batch/get_by_user", userid_list=["lina"], cursor="garbage")
    assert bad["errcode"] == 40058
    assert bad["external_contact_list"] == []


async def test_a_remark_overwrites_what_is_given_and_fires_no_event(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    await wecom.sandbox.settle()
    pair = {"userid": "lina", "external_userid": external_userid}
    await wecom.call("externalcontact/remark", **pair, remark="小满", remark_mobiles=["13900000000"])
    await wecom.call("externalcontact/remark", **pair, remark_mobiles=[""])
    kept = wecom.sandbox.get_pair("lina", external_userid)
    assert (kept.remark, kept.remark_mobiles) == ("小满", [])
    assert (await wecom.call("externalcontact/remark", **pair))["errcode"] == 40058
    assert (await wecom.call("externalcontact/remark", **pair, remark="字" * 21))["errcode"] == 40058
    await wecom.sandbox.settle()
    assert len(wecom.app.bodies) == 1


async def test_tags_are_made_put_on_and_taken_off(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    made = await wecom.call(
        "externalcontact/add_corp_tag",
        group_name="来源",
        tag=[{"name": "官网", "order": 1}, {"name": "展会", "order": 2}, {"name": "展会", "order": 2}],
    )
    assert [tag["name"] for tag in made["tag_group"]["tag"]] == ["展会", "官网"]
    again = await wecom.call("externalcontact/add_corp_tag", group_name="来源", tag=[{"name": "展会"}])
    assert again["errcode"] == 40071
    first, second = (tag["id"] for tag in made["tag_group"]["tag"])
    pair = {"userid": "lina", "external_userid": external_userid}
    assert (await wecom.call("externalcontact/mark_tag", **pair, add_tag=[first, second]))["errcode"] == 0
    assert (await wecom.call("externalcontact/mark_tag", **pair, remove_tag=[first]))["errcode"] == 0
    assert wecom.sandbox.get_pair("lina", external_userid).tag_ids == [second]
    assert (await wecom.call("externalcontact/mark_tag", **pair, add_tag=["7"]))["errcode"] == 40068
    assert (await wecom.call("externalcontact/mark_tag", **pair))["errcode"] == 40058
    listed = await wecom.call("externalcontact/get_corp_tag_list", tag_id=[second])
    assert [tag["name"] for group in listed["tag_group"] for tag in group["tag"]] == ["官网"]
    assert listed["tag_group"][0]["tag"][0]["deleted"] is False


async def test_two_tag_calls_on_one_relation_at_a_time_conflict(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    tag_id = wecom.sandbox.add_tag_group("意向", ["高意向"]).tags[0].id
    await wecom.token()
    wecom.sandbox.faults.answer_delay_ms = 30
    body = {"userid": "lina", "external_userid": external_userid, "add_tag": [tag_id]}
    answers = await asyncio.gather(*(wecom.call("externalcontact/mark_tag", **body) for _ in range(2)))
    assert sorted(answer["errcode"] for answer in answers) == [0, 45035]


async def test_a_channel_code_is_made_read_changed_and_ended(wecom: Wecom) -> None:
    made = await wecom.call(
        "externalcontact/add_contact_way", type=2, scene=2, remark="包裹卡", state="parcel", user=["lina", "wuhao"]
    )
    assert len(made["config_id"]) == 32
    async with wecom.http.get(made["qr_code"]) as picture:
        assert picture.content_type == "image/png"
    way = (await wecom.call("externalcontact/get_contact_way", config_id=made["config_id"]))["contact_way"]
    assert (way["state"], way["user"], way["skip_verify"]) == ("parcel", ["lina", "WuHao"], True)
    await wecom.call("externalcontact/update_contact_way", config_id=made["config_id"], user=["lina"], remark="新卡")
    listed = await wecom.call("externalcontact/list_contact_way")
    assert {row["config_id"] for row in listed["contact_way"]} == {wecom.config_id, made["config_id"]}
    await wecom.call("externalcontact/del_contact_way", config_id=made["config_id"])
    gone = await wecom.call("externalcontact/get_contact_way", config_id=made["config_id"])
    assert gone["errcode"] == 41044


async def test_a_wrong_channel_code_is_refused_by_its_own_errcode(wecom: Wecom) -> None:
    async def errcode(**body: object) -> int:
        return int((await wecom.call("externalcontact/add_contact_way", **body))["errcode"])

    assert await errcode(scene=2, user=["lina"]) == 41037
    assert await errcode(type=2, user=["lina"]) == 41038
    assert await errcode(type=3, scene=2, user=["lina"]) == 41039
    assert await errcode(type=2, scene=3, user=["lina"]) == 41040
    assert await errcode(type=2, scene=1, style=9, user=["lina"]) == 41042
    assert await errcode(type=2, scene=2, user=["lina"] * 101) == 41041
    assert await errcode(type=1, scene=2, user=["lina", "wuhao"]) == 40058
    assert await errcode(type=2, scene=2, user=["lina"], state="字" * 31) == 40058
    assert (await wecom.call("externalcontact/get_contact_way"))["errcode"] == 41043


async def test_logs_hold_no_token_and_no_secret(wecom: Wecom) -> None:
    token = await wecom.token()
    await wecom.call("get_jsapi_ticket")
    async with wecom.http.get(f"{wecom.base}/control/calls") as response:
        text = json.dumps(await response.json())
    assert "gettoken" in text
    assert token not in text
    assert "sandbox-secret" not in text
