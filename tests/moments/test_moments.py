"""Moments: made once, published by members, with what customers made of them."""

from typing import Any

import pytest

from scrm.content.media.library import add_original
from scrm.errors import Conflict, Invalid
from scrm.moments import publish, results
from scrm.moments.models import moment, moment_publisher
from scrm.sandbox.confirming import publish_moment, react_to_moment
from scrm.wecom.errors import WeComUnreachable
from tests.content.media.test_library import MP4, PNG
from tests.fakes.deaths import killed_before, revive
from tests.mass_messages.conftest import House


async def pass_time(house: House, **by: float) -> None:
    house.clock.advance(**by)
    await house.settle()
    await results.poll(house.services)


async def one(house: House) -> Any:
    (row,) = await house.rows(moment)
    return row


async def test_a_moment_goes_from_the_form_to_likes(house: House) -> None:
    xiaoman = await house.meet("xiaoman")
    sha256 = await add_original(house.services, "a.png", PNG)
    number = await publish.create(
        house.services, text="秋季上新", attachments=[{"media": sha256}], userids=["lina"], once="form-1"
    )
    assert number == await publish.create(house.services, text="秋季上新", once="form-1")
    await house.settle()
    assert (await one(house)).state == "job"
    for _ in range(3):
        await pass_time(house, seconds=10)
    row = await one(house)
    assert row.state == "created"
    publish_moment(house.sandbox, "lina", row.moment_id)
    react_to_moment(house.sandbox, "lina", xiaoman, row.moment_id, "like")
    await pass_time(house, minutes=6)
    (publisher,) = await house.rows(moment_publisher)
    assert (publisher.is_published, publisher.seen, publisher.likes, publisher.comments) == (True, 1, 1, 0)
    await publish.cancel(house.services, number)
    assert house.sandbox.world.sending.moments[row.moment_id].is_cancelled
    with pytest.raises(Conflict):
        await publish.cancel(house.services, number)


async def test_after_a_silence_it_is_found_and_not_made_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    add = house.services.wecom.moments.add_moment_task

    async def add_and_fail(**body: Any) -> str:
        await add(**body)
        raise WeComUnreachable("TimeoutError", path="externalcontact/add_moment_task")

    await publish.create(house.services, text="秋季上新")
    with monkeypatch.context() as patch:
        patch.setattr(house.services.wecom.moments, "add_moment_task", add_and_fail)
        await house.settle()
    assert (await one(house)).state == "intent"
    await pass_time(house, minutes=2)
    made = house.sandbox.world.sending.moments
    assert [(await one(house)).moment_id] == list(made)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "内容是空的"),
        (["a.png", "b.mp4"], "只能发图片、视频、链接中的一种"),
        (["b.mp4", "c.mp4"], "最多 9 张图片"),
        (["d.pdf"], "只能发图片或视频"),
    ],
)
async def test_what_wecom_would_refuse_is_refused_before(house: House, files: list[str], words: str) -> None:
    contents = {"a.png": PNG, "b.mp4": MP4, "c.mp4": MP4 + b"c", "d.pdf": b"%PDF-1.7"}
    names = [await add_original(house.services, name, contents[name]) for name in files]
    with pytest.raises(Invalid, match=words):
        await publish.create(house.services, text="", attachments=[{"media": name} for name in names])


async def test_who_published_before_the_stop_is_counted(house: House) -> None:
    await house.meet("xiaoman")
    number = await publish.create(house.services, text="秋季上新", userids=["lina", "WuHao"])
    for _ in range(4):
        await pass_time(house, seconds=10)
    publish_moment(house.sandbox, "lina", (await one(house)).moment_id)
    await publish.cancel(house.services, number)
    assert {row.userid: row.is_published for row in await house.rows(moment_publisher)} == {
        "lina": True,
        "WuHao": False,
    }
    assert (await one(house)).state == "cancelled"


async def test_killed_before_the_call_it_is_made_once_when_wecoms_list_has_been_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish.create(house.services, text="秋季上新")
    with killed_before(monkeypatch, "externalcontact/add_moment_task"):
        await house.settle()
    assert ((await one(house)).state, house.sandbox.world.sending.moments) == ("intent", {})
    await revive(house.services)
    for _ in range(8):
        await pass_time(house, minutes=1)
    made = house.sandbox.world.sending.moments
    assert [(await one(house)).moment_id] == list(made)
