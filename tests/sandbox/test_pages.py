"""The phone, the desk, the console and their controls over HTTP."""

import re
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.sandbox.conftest import AGENT_ID, Wecom


async def test_a_customer_scans_chats_and_leaves(wecom: Wecom) -> None:
    assert "展会 A" in await wecom.page("/phone?user=xiaoman")
    status, found = await wecom.control("scan", user="xiaoman", config_id=wecom.config_id)
    assert (status, found["userid"]) == (200, "lina")
    pair = {"userid": "lina", "external_userid": found["external_userid"]}
    await wecom.control("say", **pair, **{"from": "customer"}, text="<b>在吗</b>")
    await wecom.control("say", **pair, **{"from": "member"}, text="在的")
    phone = await wecom.page("/phone?user=xiaoman&with=lina")
    assert "&lt;b&gt;在吗&lt;/b&gt;" in phone
    assert "在的" in phone
    assert "在的" in await wecom.page(f"/desk?member=lina&with={found['external_userid']}")
    await wecom.control("delete_member", user="xiaoman", userid="lina")
    assert "还没有聊天" in await wecom.page("/phone?user=xiaoman")
    await wecom.control("say", **pair, **{"from": "member"}, text="还在吗")
    desk = await wecom.page(f"/desk?member=lina&with={found['external_userid']}")
    assert "消息已发出，但被对方拒收了" in desk
    status, answer = await wecom.control("say", **pair, **{"from": "customer"}, text="喂")
    assert (status, answer["error"]) == (409, "你们还不是好友，重新扫码添加后才能聊天。")


async def test_app_messages_show_their_links_and_nothing_else_works_in_them(wecom: Wecom) -> None:
    description = '<div class="gray">今天</div><script>alert(1)</script><div class="big">x</div>'
    card = {"title": "跟进", "description": description, "url": "https://crm.example/t/1"}
    await wecom.call("message/send", touser="lina", agentid=AGENT_ID, msgtype="textcard", textcard=card)
    text = {"content": '看<a href="https://crm.example/a">这里</a>和<a href="javascript:x">那里</a>'}
    await wecom.call("message/send", touser="lina", agentid=AGENT_ID, msgtype="text", text=text)
    html = await wecom.page("/desk?member=lina&with=app")
    assert '<div class="gray">今天</div>' in html
    assert "<script>alert" not in html
    assert '<div class="big">' not in html
    assert '<a href="https://crm.example/a" data-open-url="https://crm.example/a">这里</a>' in html
    assert 'href="javascript:' not in html


@pytest.mark.parametrize("path", ["/", "/phone?user=xiaoman", "/desk?member=lina", "/phone?user=nobody&with=nobody"])
async def test_pages_run_nothing_inline(wecom: Wecom, path: str) -> None:
    html = await wecom.page(path)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=\"", html)


async def test_fragments_answer_204_until_something_changes(wecom: Wecom) -> None:
    for path in ("/screen", "/phone/screen?user=xiaoman", "/desk/screen?member=lina"):
        address = wecom.base + path
        join = "&" if "?" in path else "?"
        async with wecom.http.get(address) as first:
            assert first.status == 200
            seen = first.headers["X-Revision"]
        async with wecom.http.get(f"{address}{join}seen={seen}") as second:
            assert (second.status, "X-Now" in second.headers) == (204, True)
        wecom.sandbox.world.touch()
        async with wecom.http.get(f"{address}{join}seen={seen}") as third:
            assert third.status == 200


async def test_the_clock_moves_forward_and_to_tomorrow_morning(wecom: Wecom) -> None:
    before = wecom.clock.now()
    await wecom.control("clock", advance_seconds=259200)
    assert wecom.clock.now() - before >= timedelta(days=3)
    today = wecom.clock.now().astimezone(ZoneInfo("Asia/Shanghai")).date()
    await wecom.control("clock", to="tomorrow 10:00")
    local = wecom.clock.now().astimezone(ZoneInfo("Asia/Shanghai"))
    assert local.date() == today + timedelta(days=1)
    assert (local.hour, local.minute) == (10, 0)
    status, answer = await wecom.control("clock", advance_seconds=-1)
    assert (status, answer["error"]) == (422, "时间只能往前走，一次最多一年。")
    assert (await wecom.control("clock", to="gestern"))[0] == 422


async def test_switches_are_set_by_name_and_wrong_ones_named(wecom: Wecom) -> None:
    status, faults = await wecom.control("faults", drop_callbacks=2, duplicate_callbacks=True)
    assert (status, faults["drop_callbacks"], faults["duplicate_callbacks"]) == (200, 2, True)
    assert "checked" in (await wecom.page("/")).split('name="duplicate_callbacks"')[1][:12]
    assert (await wecom.control("faults", drop_callbacks="many"))[0] == 422
    assert (await wecom.control("faults", nothing=1))[1]["error"] == "没有这个开关：nothing"
    await wecom.control("fail_next", endpoint="getcallbackip", errcode=-1)
    assert (await wecom.call("getcallbackip"))["errcode"] == -1
    await wecom.control("expire_tokens")
    assert (await wecom.call("getcallbackip"))["errcode"] == 42001


async def test_controls_take_json_only_and_name_what_is_missing(wecom: Wecom) -> None:
    async with wecom.http.post(f"{wecom.base}/control/scan", data={"user": "xiaoman"}) as response:
        assert response.status == 422
    assert (await wecom.control("scan", user="xiaoman"))[1]["error"] == "缺少 config_id，应为一段文字。"
    assert (await wecom.control("scan", user="nobody", config_id=wecom.config_id))[0] == 404
    assert (await wecom.control("scan", user="xiaoman", config_id="gone"))[0] == 404
    assert (await wecom.control("nothing"))[0] == 404


async def test_a_burst_of_new_customers_scans_at_once(wecom: Wecom) -> None:
    assert await wecom.control("burst", config_id=wecom.config_id, count=20) == (200, {"count": 20})
    await wecom.sandbox.settle()
    assert len(wecom.app.events) == 20
    assert (await wecom.control("burst", config_id=wecom.config_id, count=100_000))[0] == 422


async def test_views_show_people_chats_and_logs_as_json(wecom: Wecom) -> None:
    external_userid, _ = await wecom.scan()
    await wecom.sandbox.settle()

    async def view(path: str) -> dict[str, list[dict[str, object]]]:
        async with wecom.http.get(f"{wecom.base}/control/{path}") as response:
            return await response.json()

    state = await view("state")
    assert [member["userid"] for member in state["members"]] == ["lina", "WuHao"]
    assert state["pairs"][0]["state"] == "half"
    chat = await view(f"chat?userid=lina&external_userid={external_userid}")
    assert chat["messages"][0]["kind"] == "notice"
    assert (await view("deliveries"))["deliveries"][0]["tries"] == ["200"]
    assert (await view("app_messages?userid=lina"))["messages"] == []


async def test_pictures_of_codes_and_people_are_served(wecom: Wecom) -> None:
    async with wecom.http.get(f"{wecom.base}/qr/{wecom.config_id}.png") as response:
        assert (await response.read()).startswith(b"\x89PNG")
    async with wecom.http.get(f"{wecom.base}/avatar/xiaoman.svg") as response:
        assert response.content_type == "image/svg+xml"
    async with wecom.http.get(f"{wecom.base}/qr/unknown.png") as response:
        assert response.status == 404
