"""The scriptable API and its faults, and the server API as the libraries of others see it."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from wechatpy.enterprise import WeChatClient
from wechatpy.exceptions import WeChatClientException

from tests.sandbox.conftest import AGENT_ID, CORP_ID, SECRET, Wecom

MEMBERS = "user/simplelist"


class Others(WeChatClient):  # type: ignore[misc]
    """wechatpy's own client, which knows nothing of us, pointed at the sandbox."""

    def __init__(self, base: str) -> None:
        self.API_BASE_URL = f"{base}/cgi-bin/"
        super().__init__(CORP_ID, SECRET, timeout=5, auto_retry=False)

    def fetch_access_token(self) -> Any:
        query = {"corpid": self.corp_id, "corpsecret": self.secret}
        return self._fetch_access_token(url=f"{self.API_BASE_URL}gettoken", params=query)


async def test_another_library_lives_with_it(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan("xiaoman")
    other = Others(wecom.base)

    def talk() -> None:
        assert other.user.get("lina")["name"] == "李娜"
        assert {one["userid"] for one in other.user.list(1)} >= {"WuHao"}
        assert other.department.get()[0]["id"] == 1
        assert other.external_contact.get_follow_user_list()["follow_user"] == ["lina", "WuHao"]
        assert other.external_contact.list("lina")["external_userid"] == [external_userid]
        contact = other.external_contact.get(external_userid)
        assert contact["external_contact"]["name"] == "陈小满"
        assert contact["follow_user"][0]["userid"] == "lina"
        made = other.external_contact.add_corp_tag(None, "来源", 1, [{"name": "展会"}])["tag_group"]["tag"][0]
        other.external_contact.mark_tag("lina", external_userid, add_tag=[made["id"]])
        marked = other.external_contact.get(external_userid)["follow_user"][0]["tags"]
        assert [tag["tag_id"] for tag in marked] == [made["id"]]
        way = other.external_contact.add_contact_way(2, 2, state="expo-b", user=["lina", "WuHao"])
        assert other.external_contact.get_contact_way(way["config_id"])["contact_way"]["state"] == "expo-b"
        other.external_contact.send_welcome_msg({"welcome_code": code, "text": {"content": "欢迎光临"}})
        assert other.message.send_text(AGENT_ID, "lina", "今天 3 位客户待跟进")["errcode"] == 0
        assert len(other.jsapi.get_jsapi_ticket()) > 20

    await asyncio.to_thread(talk)
    assert wecom.sandbox.world.app_messages["lina"][0].body["text"]["content"] == "今天 3 位客户待跟进"


async def test_another_library_understands_each_refusal(wecom: Wecom) -> None:
    other = Others(wecom.base)

    def refused(work: Any, *args: Any) -> int:
        with pytest.raises(WeChatClientException) as told:
            work(*args)
        return int(told.value.errcode)

    assert await asyncio.to_thread(refused, other.user.get, "nobody") == 60111
    await wecom.control("trouble", endpoint="user/*", kind="errcode", value=45009)
    assert await asyncio.to_thread(refused, other.user.get, "lina") == 45009
    await wecom.control("expire_tokens", errcode=40014)
    assert await asyncio.to_thread(refused, other.user.get, "lina") == 40014
    await wecom.control("faults", untrusted_ip=True)
    await asyncio.to_thread(other.fetch_access_token)
    assert await asyncio.to_thread(refused, other.user.get, "lina") == 60020


async def list_members(wecom: Wecom) -> tuple[int, str]:
    """Status and text of a call with a client of no family."""
    query = {"access_token": await wecom.token(), "department_id": "1"}
    async with wecom.http.get(f"{wecom.base}/cgi-bin/{MEMBERS}", params=query) as response:
        return response.status, await response.text()


async def test_the_answer_of_an_endpoint_goes_wrong_in_each_way(wecom: Wecom) -> None:
    status, whole = await list_members(wecom)
    assert (status, '"errcode": 0' in whole) == (200, True)
    await wecom.control("trouble", endpoint=MEMBERS, kind="status", value=502)
    assert (await list_members(wecom))[0] == 502
    await wecom.control("trouble", endpoint=MEMBERS, kind="garbage")
    assert (await list_members(wecom))[1].startswith("<html>")
    for kind in ("hang_up", "lost", "cut"):
        await wecom.control(
            "trouble", endpoint=MEMBERS, kind=kind, times=0
        )  # aiohttp asks twice when it was hung up on
        with pytest.raises(aiohttp.ClientError):
            await list_members(wecom)
        await wecom.control("heal")
    for kind in ("latency", "drip"):
        await wecom.control("trouble", endpoint=MEMBERS, kind=kind, value=60)
        began = time.perf_counter()
        assert (await list_members(wecom))[1] == whole
        assert time.perf_counter() - began >= 0.05
    assert (await list_members(wecom)) == (200, whole)


async def test_a_lost_answer_was_done_and_a_hung_up_call_was_not(wecom: Wecom) -> None:
    say = {"touser": "lina", "agentid": AGENT_ID, "msgtype": "text"}
    for kind in ("hang_up", "lost"):
        await wecom.control("trouble", endpoint="message/send", kind=kind)
        with pytest.raises(aiohttp.ClientError):
            await wecom.call("message/send", **say, text={"content": kind})
    said = [message.body["text"]["content"] for message in wecom.sandbox.world.app_messages["lina"]]
    assert said == ["lost"]


async def test_a_trouble_lasts_as_long_as_it_was_told_to(wecom: Wecom) -> None:
    await wecom.token()
    _, made = await wecom.control("trouble", endpoint="*", kind="errcode", value=-1, times=0)
    assert [(await wecom.call("externalcontact/get_follow_user_list"))["errcode"] for _ in range(3)] == [-1, -1, -1]
    assert (await wecom.control("heal", number=made["number"]))[1]["troubles"] == []
    await wecom.control("faults", untrusted_ip=True)
    await wecom.control("heal")
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"endpoint": "user/get", "kind": "fire"}, "没有这种故障"),
        ({"endpoint": "user/gett", "kind": "lost"}, "沙箱没有接口"),
        ({"endpoint": "user/get", "kind": "status", "value": 200}, "400 到 599"),
        ({"endpoint": "user/get", "kind": "errcode", "value": "45009"}, "value 应为整数"),
        ({"kind": "lost"}, "缺少 endpoint"),
    ],
)
async def test_a_trouble_that_makes_no_sense_is_refused(wecom: Wecom, body: dict[str, Any], says: str) -> None:
    status, answer = await wecom.control("trouble", **body)
    assert status == 422
    assert says in answer["error"]


async def test_the_api_lists_what_it_can(wecom: Wecom) -> None:
    async with wecom.http.get(f"{wecom.base}/api") as response:
        index = await response.json()
    assert index["acts"]["scan"] == {"post": "/sandbox/api/scan", "body": "{user, config_id}"}
    assert all(act["body"].startswith("{") or name == "faults" for name, act in index["acts"].items())
    assert "usage" in index["views"]
    assert "externalcontact/get" in index["endpoints"]
    assert index["switches"]["calls_per_minute"] == 10_000
    for view in index["views"].values():
        if "?" not in view["says"]:
            async with wecom.http.get(f"{wecom.base.removesuffix('/sandbox')}{view['get']}") as response:
                assert response.status == 200


async def test_limits_can_be_let_go_and_use_is_counted_all_the_same(wecom: Wecom) -> None:
    await wecom.control("faults", calls_per_minute=2)
    codes = [(await wecom.call("externalcontact/get_follow_user_list"))["errcode"] for _ in range(4)]
    assert codes == [0, 0, 45009, 45009]
    await wecom.control("faults", limits_enforced=False)
    assert (await wecom.call("externalcontact/get_follow_user_list"))["errcode"] == 0
    wecom.clock.advance(timedelta(seconds=61))
    await wecom.call("externalcontact/get_follow_user_list")
    async with wecom.http.get(f"{wecom.base}/api/usage") as response:
        used = (await response.json())["endpoints"]["externalcontact/get_follow_user_list"]
    assert used == {"calls": 6, "refused": 2, "most_in_a_minute": 5, "most_at_once": 1}
    async with wecom.http.get(f"{wecom.base}/api/calls", params={"errcode": "45009"}) as response:
        assert len((await response.json())["calls"]) == 2


async def test_callbacks_get_lost_come_twice_and_overtake_each_other(wecom: Wecom) -> None:
    await wecom.control("faults", drop_percent=30, duplicate_percent=30, spread_callbacks_ms=120)
    await wecom.control("burst", config_id=wecom.config_id, count=60)
    await wecom.sandbox.settle()
    events = wecom.app.events
    pushed = list(wecom.sandbox.delivery_log)
    dropped = sum(delivery.state == "dropped" for delivery in pushed)
    assert 0.1 * len(pushed) < dropped < 0.5 * len(pushed)
    assert len(set(events)) == len(pushed) - dropped
    assert 1.1 < len(events) / len(set(events)) < 1.5
    order = list(dict.fromkeys(events))
    assert order != [delivery.plain for delivery in pushed if delivery.plain in set(events)]
