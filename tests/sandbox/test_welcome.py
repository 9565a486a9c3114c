"""A welcome code lives 20 seconds and works once."""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from tests.sandbox.conftest import Wecom

HELLO = {"content": "你好，欢迎来到晴屿"}
LINK = {"msgtype": "link", "link": {"title": "新人券", "desc": "满 199 减 30", "url": "https://shop.example/c/1"}}


async def welcome(wecom: Wecom, code: str, **body: Any) -> int:
    body = body or {"text": HELLO}
    return int((await wecom.call("externalcontact/send_welcome_msg", welcome_code=code, **body))["errcode"])


async def test_text_and_attachments_become_messages_of_their_own(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan()
    assert await welcome(wecom, code, text=HELLO, attachments=[LINK]) == 0
    messages = [m for m in wecom.sandbox.chat("lina", external_userid) if m.sender == "member"]
    assert [(m.kind, m.via) for m in messages] == [("text", "welcome"), ("link", "welcome")]
    assert messages[0].content["content"] == HELLO["content"]


async def test_a_second_use_is_41051(wecom: Wecom) -> None:
    _, code = await wecom.scan()
    assert [await welcome(wecom, code), await welcome(wecom, code)] == [0, 41051]


async def test_two_at_one_time_give_one_welcome_and_41096(wecom: Wecom) -> None:
    _, code = await wecom.scan()
    await wecom.token()
    wecom.sandbox.faults.answer_delay_ms = 30
    assert sorted(await asyncio.gather(welcome(wecom, code), welcome(wecom, code))) == [0, 41096]


async def test_a_code_is_dead_after_twenty_seconds(wecom: Wecom) -> None:
    _, code = await wecom.scan()
    wecom.clock.advance(timedelta(seconds=21))
    assert await welcome(wecom, code) == 41050


async def test_a_chat_that_has_started_needs_no_welcome(wecom: Wecom) -> None:
    external_userid, code = await wecom.scan()
    await wecom.sandbox.say("lina", external_userid, "在吗", sender="customer")
    assert await welcome(wecom, code) == 41051


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"text": {"content": "字" * 1334}}, 40058),
        ({"text": {"content": ""}}, 40058),
        ({"attachments": [LINK] * 10}, 41064),
        ({"attachments": [{"msgtype": "music", "music": {}}]}, 41065),
        ({"attachments": [{"msgtype": "link"}]}, 41065),
        ({"attachments": [{"msgtype": "link", "link": {"title": "字" * 43, "url": "https://a.example"}}]}, 40058),
        ({"attachments": [{"msgtype": "link", "link": {"title": "券"}}]}, 40058),
        ({"attachments": [{"msgtype": "image", "image": {"media_id": "unknown"}}]}, 40007),
        ({"attachments": [{"msgtype": "image", "image": {"pic_url": "https://elsewhere.example/1.png"}}]}, 40058),
    ],
)
async def test_a_wrong_body_is_refused_and_leaves_the_code_alive(
    wecom: Wecom, body: dict[str, Any], errcode: int
) -> None:
    _, code = await wecom.scan()
    assert await welcome(wecom, code, **body) == errcode
    assert await welcome(wecom, code) == 0


async def test_unknown_missing_and_unconsented_codes(wecom: Wecom) -> None:
    _, code = await wecom.scan()
    assert await welcome(wecom, "") == 41049
    assert await welcome(wecom, "unknown") == 41050
    wecom.sandbox.faults.consent_missing = True
    assert await welcome(wecom, code) == 41053


async def test_a_welcome_may_carry_uploaded_pictures(wecom: Wecom) -> None:
    _, code = await wecom.scan()
    media_id = (await upload(wecom, "media/upload", {"type": "image"}))["media_id"]
    url = (await upload(wecom, "media/uploadimg", {}))["url"]
    pictures = [{"msgtype": "image", "image": {"media_id": media_id}}, {"msgtype": "image", "image": {"pic_url": url}}]
    assert await welcome(wecom, code, attachments=pictures) == 0


async def test_media_expire_after_three_days_and_the_doors_do_not_share_ids(wecom: Wecom) -> None:
    answer = await upload(wecom, "media/upload", {"type": "image"})
    assert (answer["errmsg"], type(answer["created_at"])) == ("", str)
    for_moments = await upload(wecom, "media/upload_attachment", {"media_type": "image", "attachment_type": "1"})
    assert type(for_moments["created_at"]) is int
    _, code = await wecom.scan()
    image = {"msgtype": "image", "image": {"media_id": for_moments["media_id"]}}
    assert await welcome(wecom, code, attachments=[image]) == 40007
    wecom.clock.advance(timedelta(days=3, seconds=1))
    wecom.access_token = ""
    assert (await wecom.call("media/get", {"media_id": answer["media_id"]}))["errcode"] == 40007


@pytest.mark.parametrize(
    ("wanted", "status", "piece"),
    [
        ("bytes=0-3", 206, b"\x89PNG"),
        ("bytes=5-", 206, b"picture"),
        ("bytes=-3", 206, b"ure"),
        ("bytes=0-99", 206, b"\x89PNG picture"),
        ("bytes=99-", 416, b""),
        ("pages=1", 200, b"\x89PNG picture"),
    ],
)
async def test_a_file_is_given_in_pieces(wecom: Wecom, wanted: str, status: int, piece: bytes) -> None:
    media_id = (await upload(wecom, "media/upload", {"type": "image"}))["media_id"]
    params = {"access_token": await wecom.token(), "media_id": media_id}
    async with wecom.http.get(f"{wecom.base}/cgi-bin/media/get", params=params, headers={"Range": wanted}) as answer:
        assert (answer.status, await answer.read()) == (status, piece)
        assert ("Content-Range" in answer.headers) == (status != 200)


async def test_uploads_are_checked(wecom: Wecom) -> None:
    assert (await upload(wecom, "media/upload", {"type": "music"}))["errcode"] == 40004
    assert (await upload(wecom, "media/upload", {"type": "image"}, b"tiny"))["errcode"] == 40006
    assert (await wecom.call("media/upload", {"type": "image"}))["errcode"] == 44001
    wrong = await upload(wecom, "media/upload_attachment", {"media_type": "video", "attachment_type": "2"})
    assert wrong["errcode"] == 41072


async def upload(wecom: Wecom, endpoint: str, query: dict[str, str], content: bytes = b"\x89PNG picture") -> Any:
    form = aiohttp.FormData()
    form.add_field("media", content, filename="hello.png", content_type="image/png")
    params = {"access_token": await wecom.token(), **query}
    async with wecom.http.post(f"{wecom.base}/cgi-bin/{endpoint}", params=params, data=form) as response:
        return await response.json()
