"""Tags and acquisition links in the sandbox keep WeCom's rules."""

import pytest

from scrm.sandbox import growth
from tests.sandbox.conftest import Wecom

TAGS = "externalcontact/{}_corp_tag"
LINK = "externalcontact/customer_acquisition/{}"


async def test_an_app_edits_and_deletes_only_tags_it_made(wecom: Wecom) -> None:
    theirs = wecom.sandbox.add_tag_group("等级", ["金卡"])
    made = (await wecom.call(TAGS.format("add"), group_name="来源", tag=[{"name": "展会"}, {"name": "官网"}]))[
        "tag_group"
    ]
    first, second = (tag["id"] for tag in made["tag"])
    for body, errcode in (
        ({"id": first, "name": "线下展会", "order": 9}, 0),
        ({"id": first, "name": "官网"}, 40071),
        ({"id": first, "name": "一" * 31}, 40072),
        ({"id": made["group_id"], "name": "等级"}, 40071),
        ({"id": theirs.tags[0].id, "name": "银卡"}, 81011),
        ({"id": "et-nobody", "name": "银卡"}, 40068),
    ):
        assert (await wecom.call(TAGS.format("edit"), **body))["errcode"] == errcode, body
    external_userid, _ = await wecom.scan()
    marked = await wecom.call(
        "externalcontact/mark_tag", userid="lina", external_userid=external_userid, add_tag=[first]
    )
    assert marked["errcode"] == 0
    for body, errcode in (
        ({}, 40058),
        ({"tag_id": [theirs.tags[0].id]}, 81011),
        ({"tag_id": [first]}, 0),
        ({"tag_id": [first]}, 40068),
        ({"group_id": [made["group_id"]]}, 0),
    ):
        assert (await wecom.call(TAGS.format("del"), **body))["errcode"] == errcode, body
    contact = await wecom.http.get(
        f"{wecom.base}/cgi-bin/externalcontact/get",
        params={"access_token": await wecom.token(), "external_userid": external_userid},
    )
    assert (await contact.json())["follow_user"][0]["tags"] == []
    shown = (await wecom.call("externalcontact/get_corp_tag_list", tag_id=[first, second]))["tag_group"]
    assert all(tag["deleted"] for tag in shown[0]["tag"])


async def test_what_an_administrator_does_to_tags_is_told(wecom: Wecom) -> None:
    tag = await growth.make_tag(wecom.sandbox, "来源", "展会")
    await growth.rename_tag(wecom.sandbox, tag.id, "秋季展会")
    await growth.shuffle_tags(wecom.sandbox)
    await growth.remove_tag(wecom.sandbox, tag.id)
    await wecom.sandbox.settle()
    told = sorted(event.split("<ChangeType><![CDATA[")[1].split("]]>")[0] for event in wecom.app.events)
    assert told == ["create", "create", "delete", "shuffle", "update"]


async def test_a_link_adds_customers_until_its_uses_are_spent(wecom: Wecom) -> None:
    made = await wecom.call(LINK.format("create_link"), link_name="抖音投放", range={"user_list": ["lina"]})
    link_id = made["link"]["link_id"]
    wecom.sandbox.world.acquisition.balance = 20
    await growth.open_link(wecom.sandbox, "xiaoman", link_id, "dy-01")
    growth.spend(wecom.sandbox, 18)
    await growth.open_link(wecom.sandbox, "aning", link_id, "dy-02")
    wecom.sandbox.add_wechat_user("late", "来晚了")
    with pytest.raises(Exception, match="额度已用完"):
        await growth.open_link(wecom.sandbox, "late", link_id)
    customers = await wecom.call(LINK.format("customer"), link_id=link_id, limit=1)
    rest = await wecom.call(LINK.format("customer"), link_id=link_id, limit=1, cursor=customers["next_cursor"])
    assert [row["state"] for row in customers["customer_list"] + rest["customer_list"]] == ["dy-01", "dy-02"]
    assert rest["next_cursor"] == ""
    day = int(wecom.clock.now().timestamp())  # any moment names its day
    counted = await wecom.call(LINK.format("statistic"), link_id=link_id, start_time=day, end_time=day)
    assert (counted["click_link_customer_cnt"], counted["new_customer_cnt"]) == (3, 2)
    assert (await wecom.call("externalcontact/customer_acquisition_quota"))["balance"] == 0
    await wecom.sandbox.settle()
    events = " ".join(wecom.app.events)
    for name in ("balance_low", "balance_exhausted", "open_profile", "friend_request", "dy-02"):
        assert name in events, name
    for body, errcode in (
        ({"link_name": "一" * 31, "range": {"user_list": ["lina"]}}, 40058),
        ({"link_name": "没人", "range": {}}, 40058),
        ({"link_name": "没这个人", "range": {"user_list": ["nobody"]}}, 60111),
    ):
        assert (await wecom.call(LINK.format("create_link"), **body))["errcode"] == errcode
    assert (await wecom.call(LINK.format("delete_link"), link_id=link_id))["errcode"] == 0
    assert (await wecom.call(LINK.format("list_link")))["link_id_list"] == []
