"""Mass messages, moments and files: made by the app, sent by members, within WeCom's limits."""

from typing import Any

import aiohttp
import pytest

from scrm.sandbox.confirming import send_personal_mass_message
from tests.sandbox.conftest import Wecom

NOBODY = "wmNobody00000000000000000000000000"


async def befriend(wecom: Wecom, *users: str) -> list[str]:
    met = []
    for user in users:
        external_userid, _ = await wecom.scan(user)
        await wecom.sandbox.confirm("lina", external_userid)
        met.append(external_userid)
    return met


def words(wecom: Wecom, external_userid: str) -> list[str]:
    return [m.content["content"] for m in wecom.sandbox.chat("lina", external_userid) if m.kind == "text"]


async def test_a_mass_message_goes_out_when_its_member_confirms(wecom: Wecom) -> None:
    xiaoman, aning = await befriend(wecom, "xiaoman", "aning")
    body: dict[str, Any] = {"chat_type": "single", "sender": "lina", "text": {"content": "秋季上新"}}
    made = await wecom.call("externalcontact/add_msg_template", external_userid=[xiaoman, aning, NOBODY], **body)
    assert made["fail_list"] == [NOBODY]
    msgid = made["msgid"]
    await wecom.sandbox.delete_member("aning", "lina")
    assert words(wecom, xiaoman) == []
    assert (await wecom.control("confirm_mass_message", userid="lina", msgid=msgid)) == (200, {"sent": 1})
    assert words(wecom, xiaoman) == ["秋季上新"]
    task = await wecom.call("externalcontact/get_groupmsg_task", msgid=msgid)
    assert task["task_list"][0]["status"] == 2
    result = await wecom.call("externalcontact/get_groupmsg_send_result", msgid=msgid, userid="lina", limit=1)
    assert [row["status"] for row in result["send_list"]] == [1]
    rest = await wecom.call(
        "externalcontact/get_groupmsg_send_result", msgid=msgid, userid="lina", limit=1, cursor=result["next_cursor"]
    )
    assert [row["status"] for row in rest["send_list"]] == [2]
    assert rest["next_cursor"] == ""
    status, _ = await wecom.control("confirm_mass_message", userid="lina", msgid=msgid)
    assert status == 409


async def test_whoever_had_his_share_gets_no_more(wecom: Wecom) -> None:
    (xiaoman,) = await befriend(wecom, "xiaoman")
    wecom.sandbox.world.sending.per_month = 1
    send_personal_mass_message(wecom.sandbox, "lina", "我自己发的", [xiaoman])
    made = await wecom.call("externalcontact/add_msg_template", external_userid=[xiaoman], text={"content": "又一条"})
    await wecom.control("confirm_mass_message", userid="lina", msgid=made["msgid"])
    result = await wecom.call("externalcontact/get_groupmsg_send_result", msgid=made["msgid"], userid="lina")
    assert [row["status"] for row in result["send_list"]] == [3]
    now = int(wecom.clock.now().timestamp())
    listed = await wecom.call(
        "externalcontact/get_groupmsg_list_v2", chat_type="single", start_time=now - 60, end_time=now + 60
    )
    assert [row.get("creator", "") for row in listed["group_msg_list"]] == ["lina", ""]


async def test_reminding_and_cancelling_have_their_limits(wecom: Wecom) -> None:
    (xiaoman,) = await befriend(wecom, "xiaoman")
    wecom.sandbox.world.sending.creating_seconds = 30
    made = await wecom.call("externalcontact/add_msg_template", external_userid=[xiaoman], text={"content": "嗨"})
    msgid = made["msgid"]
    assert (await wecom.call("externalcontact/get_groupmsg_task", msgid=msgid))["errcode"] == 41063
    wecom.sandbox.world.sending.creating_seconds = 0
    codes = [(await wecom.call("externalcontact/remind_groupmsg_send", msgid=msgid))["errcode"] for _ in range(4)]
    assert codes == [0, 0, 0, 41094]
    assert (await wecom.call("externalcontact/cancel_groupmsg_send", msgid=msgid))["errcode"] == 0
    assert (await wecom.call("externalcontact/cancel_groupmsg_send", msgid=msgid))["errcode"] == 41093
    status, _ = await wecom.control("confirm_mass_message", userid="lina", msgid=msgid)
    assert status == 409


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, 40058),
        ({"text": {"content": "嗨"}}, 40058),
        ({"external_userid": [NOBODY], "text": {"content": "嗨"}}, 41048),
        ({"external_userid": [NOBODY] * 10_001, "text": {"content": "嗨"}}, 40058),
        ({"sender": "lina", "text": {"content": "字" * 1334}}, 40058),
        ({"sender": "lina", "attachments": [{"msgtype": "link", "link": {"title": "t", "url": "u"}}] * 10}, 41064),
        ({"sender": "lina", "attachments": [{"msgtype": "image", "image": {"media_id": "3gone"}}]}, 40007),
        ({"chat_type": "group", "chat_id_list": ["wr1"], "text": {"content": "嗨"}}, 40058),
        ({"chat_type": "group", "sender": "lina", "chat_id_list": ["x"], "text": {"content": "嗨"}}, 41048),
    ],
)
async def test_a_wrong_mass_message_is_refused(wecom: Wecom, body: dict[str, Any], errcode: int) -> None:
    assert (await wecom.call("externalcontact/add_msg_template", **body))["errcode"] == errcode


async def upload(wecom: Wecom, path: str, **query: str) -> dict[str, Any]:
    form = aiohttp.FormData()
    form.add_field("media", b"\x89PNG not really", filename="封面.png", content_type="image/png")
    params = {"access_token": await wecom.token(), **query}
    async with wecom.http.post(f"{wecom.base}/cgi-bin/{path}", params=params, data=form) as response:
        return await response.json()


async def test_a_moment_needs_a_file_of_its_own_and_is_published_by_members(wecom: Wecom) -> None:
    (xiaoman,) = await befriend(wecom, "xiaoman")
    common = await upload(wecom, "media/upload", type="image")
    own = await upload(wecom, "media/upload_attachment", media_type="image", attachment_type="1")

    def image(media_id: str) -> dict[str, Any]:
        return {"attachments": [{"msgtype": "image", "image": {"media_id": media_id}}], "text": {"content": "上新"}}

    wrong = await wecom.call("externalcontact/add_moment_task", **image(common["media_id"]))
    assert wrong["errcode"] == 41072
    job = (await wecom.call("externalcontact/add_moment_task", **image(own["media_id"])))["jobid"]
    token = await wecom.token()

    async def result() -> dict[str, Any]:
        url = f"{wecom.base}/cgi-bin/externalcontact/get_moment_task_result"
        async with wecom.http.get(url, params={"access_token": token, "jobid": job}) as response:
            return await response.json()

    assert (await result())["status"] == 1
    wecom.clock.advance(wecom.clock.now().resolution * 3_000_000)
    moment_id = (await result())["result"]["moment_id"]
    asked = {"moment_id": moment_id, "userid": "lina"}
    assert (await wecom.call("externalcontact/get_moment_send_result", **asked))["errcode"] == 41062
    await wecom.control("publish_moment", userid="lina", moment_id=moment_id)
    await wecom.control("react_to_moment", **asked, external_userid=xiaoman, kind="like")
    seen = await wecom.call("externalcontact/get_moment_send_result", **asked)
    assert seen["customer_list"] == [{"external_userid": xiaoman}]
    likes = (await wecom.call("externalcontact/get_moment_comments", **asked))["like_list"]
    assert [row["external_userid"] for row in likes] == [xiaoman]
    tasks = (await wecom.call("externalcontact/get_moment_task", moment_id=moment_id))["task_list"]
    assert {row["userid"]: row["publish_status"] for row in tasks} == {"lina": 1, "WuHao": 0}


async def test_a_big_file_is_fetched_by_a_job(wecom: Wecom) -> None:
    body = {
        "scene": 1,
        "type": "video",
        "filename": "a.mp4",
        "url": "https://files.example.test/a.mp4",
        "md5": "0" * 32,
    }
    job = (await wecom.call("media/upload_by_url", **body))["jobid"]
    done = await wecom.call("media/get_upload_by_url_result", jobid=job)
    assert (done["status"], done["detail"]["media_id"][:4]) == (2, "3*1*")
    await wecom.control("finish_upload", jobid=job)
    await wecom.sandbox.settle()
    assert f"<JobId><![CDATA[{job}]]></JobId>" in wecom.app.events[-1]


async def test_the_desk_shows_what_waits_for_its_member(wecom: Wecom) -> None:
    (xiaoman,) = await befriend(wecom, "xiaoman")
    made = await wecom.call("externalcontact/add_msg_template", external_userid=[xiaoman], text={"content": "秋季上新"})
    await wecom.call("externalcontact/add_moment_task", text={"content": "到店有礼"})
    page = await wecom.page("/desk?member=lina&with=app")
    assert f'data-mass-msgid="{made["msgid"]}"' in page
    assert "到店有礼" in page
    await wecom.control("confirm_mass_message", userid="lina", msgid=made["msgid"])
    assert "data-mass-msgid" not in await wecom.page("/desk?member=lina&with=app")


@pytest.mark.parametrize(("size", "errcode"), [(3_000_000, 0), (10_500_000, 45001), (40_000_000, 45001)])
async def test_files_may_be_bigger_than_other_calls(wecom: Wecom, size: int, errcode: int) -> None:
    form = aiohttp.FormData()
    form.add_field("media", b"x" * size, filename="a.png", content_type="image/png")
    params = {"access_token": await wecom.token(), "type": "image"}
    async with wecom.http.post(f"{wecom.base}/cgi-bin/media/upload", params=params, data=form) as response:
        assert (await response.json()).get("errcode", 0) == errcode
