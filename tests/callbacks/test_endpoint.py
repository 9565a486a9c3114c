"""What WeCom, and everybody else on the internet, may post to /callbacks/wecom."""

import asyncio
import base64
from typing import Any

import pytest
from structlog.testing import capture_logs

from scrm.callbacks.models import inbox_event
from scrm.events import event
from scrm.profiles.models import follow_user
from scrm.sop.models import enrolment, send
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.world import ANING, XIAOMAN, World

ADD = {"UserID": "lina", "ExternalUserID": XIAOMAN, "State": "live-1111", "WelcomeCode": "WC_1"}


async def test_the_administrators_url_check_gets_the_bare_echo_even_when_a_plus_became_a_blank(world: World) -> None:
    for attempt in range(40):
        echo = fake.encrypt(f"5927710336149{attempt:06}".encode())
        query = {"msg_signature": fake.sign(echo, "1", "2"), "timestamp": "1", "nonce": "2"}
        mangled = await world.client.get("/callbacks/wecom", params={**query, "echostr": echo.replace("+", " ")})
        assert (mangled.status, await mangled.text()) == (200, f"5927710336149{attempt:06}")


async def test_an_event_is_on_disk_with_its_work_before_it_is_answered(world: World) -> None:
    response = await world.tell(fake.event_xml("edit_external_contact", created_at=1772416800, **ADD))
    assert (response.status, await response.text()) == (200, "")
    (kept,) = await world.rows(inbox_event)
    (item,) = await world.rows(work_item)
    assert kept.state == "new"
    assert b"edit_external_contact" in kept.body
    key = f"contact:{XIAOMAN}:lina"
    assert (item.kind, item.order_key, item.correlation) == ("callback", key, kept.correlation)


async def test_an_add_with_a_welcome_code_takes_the_fast_lane_and_everything_else_does_not(world: World) -> None:
    await world.tell(fake.event_xml("add_external_contact", created_at=1772416800, **ADD))
    await world.tell(fake.event_xml("del_follow_user", created_at=1772416800, UserID="lina", ExternalUserID=ANING))
    assert sorted(row.lane for row in await world.rows(work_item)) == ["event", "welcome"]


async def test_the_same_event_posted_many_times_at_once_is_one_of_everything(world: World) -> None:
    xml = fake.event_xml("add_external_contact", created_at=int(world.clock.now().timestamp()), **ADD)
    answers = await asyncio.gather(*(world.tell(xml) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    await world.settle()
    await world.tell(xml)
    await world.settle()
    assert len(await world.rows(inbox_event)) == 1
    assert len(world.wecom.called("externalcontact/send_welcome_msg")) == 1
    assert len(await world.rows(follow_user)) == 1
    assert len(await world.rows(event, event.c.name == "contact.added")) == 1
    assert len(await world.rows(send, send.c.kind == "welcome")) == 1
    assert len(await world.rows(enrolment, enrolment.c.playbook_key == "new-customer")) == 1


async def test_two_customers_who_add_one_member_in_the_same_second_are_both_served(world: World) -> None:
    for external_userid, code in ((XIAOMAN, "A"), (ANING, "B")):
        fields = {**ADD, "ExternalUserID": external_userid, "WelcomeCode": code}
        await world.tell(fake.event_xml("add_external_contact", created_at=1772416800, **fields))
    await world.settle()
    codes = [call["welcome_code"] for call in world.wecom.called("externalcontact/send_welcome_msg")]
    assert sorted(codes) == ["A", "B"]
    assert len(await world.rows(follow_user)) == 2


async def refused(world: World, query: dict[str, str], body: bytes | str) -> tuple[int, str]:
    with capture_logs() as lines:
        response = await world.client.post("/callbacks/wecom", params=query, data=body)
        text = await response.text()
    assert "Traceback" not in text
    assert [line["event"] for line in lines] == ["callback.refused"]
    assert "exc_info" not in lines[0]
    assert not await world.rows(inbox_event)
    return response.status, lines[0]["step"]


async def test_what_wecom_cannot_have_sent_is_refused_in_one_line(world: World) -> None:
    xml = fake.event_xml("add_external_contact", created_at=1772416800, **ADD)
    query, body = fake.callback(xml)
    assert await refused(world, {**query, "msg_signature": "0" * 40}, body) == (403, "signature")
    assert await refused(world, {**query, "timestamp": "1"}, body) == (403, "signature")
    assert await refused(world, {}, body) == (400, "parameters")
    assert await refused(world, *fake.callback(xml, receive_id="ww0000000000000000")) == (403, "receiveid")
    assert await refused(world, *fake.callback(xml, token="AnotherToken")) == (403, "signature")
    assert await refused(world, query, "") == (400, "envelope")
    assert await refused(world, query, "<xml><ToUserName>x</ToUserName></xml>") == (400, "envelope")
    bomb = '<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><xml><Encrypt>&b;</Encrypt></xml>'
    assert await refused(world, query, bomb) == (400, "xml")


async def test_a_ciphertext_that_was_cut_short_is_refused_though_its_signature_is_right(world: World) -> None:
    whole = base64.b64decode(fake.encrypt(b"<xml/>" * 20))
    for cut in (whole[:-7], whole[:-32], whole[:16]):
        encrypted = base64.b64encode(cut).decode()
        query = {"msg_signature": fake.sign(encrypted, "1", "2"), "timestamp": "1", "nonce": "2"}
        status, step = await refused(world, query, f"<xml><Encrypt>{encrypted}</Encrypt></xml>")
        assert (status, step in {"length", "padding", "layout"}) == (400, True)


async def test_ten_megabytes_are_refused_before_they_are_read(world: World) -> None:
    query, _ = fake.callback("<xml/>")
    assert await refused(world, query, b"x" * 10_000_000) == (413, "size")


async def test_a_get_without_parameters_is_a_400(world: World) -> None:
    response = await world.client.get("/callbacks/wecom")
    assert response.status == 400
    assert "msg_signature" in await response.text()


STRANGE = {
    "not XML": b"hello",
    "broken XML": b"<xml><Event>",
    "a DTD inside": b'<!DOCTYPE x [<!ENTITY a "a">]><xml><Event>&a;</Event></xml>',
    "no event": b"<xml><CreateTime>1</CreateTime></xml>",
    "no time": b"<xml><MsgType>event</MsgType><Event>subscribe</Event></xml>",
    "not UTF-8": b"\xff\xfe\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE.keys())
async def test_a_rightly_signed_body_nobody_understands_is_kept_and_answered(world: World, body: bytes) -> None:
    assert (await world.tell(body)).status == 200
    await world.settle()
    (kept,) = await world.rows(inbox_event)
    assert kept.state == "unreadable"
    assert kept.error
    assert not await world.rows(work_item)


async def test_an_unknown_event_is_kept_counted_and_shown(world: World) -> None:
    await world.tell(fake.event_xml("brand_new", event="change_the_world", created_at=1772416800))
    await world.tell(fake.event_xml("", event="change_domain_ip", created_at=1772416800))
    await world.settle()
    states = {row.name: row.state for row in await world.rows(inbox_event)}
    assert states == {"change_the_world": "unknown", "change_domain_ip": "unused"}
    metrics = await (await world.client.get("/metrics")).text()
    assert 'state="unknown"' in metrics
    assert "change_the_world" not in metrics


async def test_a_handler_that_fails_leaves_its_event_in_the_queue(world: World, wecom: Any) -> None:
    wecom.say("externalcontact/get", *[6000] * 3)
    await world.add(WelcomeCode="")
    (item,) = await world.rows(work_item)
    assert (item.kind, item.state, item.attempts) == ("contact.refresh", 0, 1)
    assert "6000" in item.last_error
    await world.pass_time(hours=2)
    await world.pass_time(hours=2)
    await world.pass_time(hours=2)
    assert not await world.rows(work_item)
    assert len(await world.rows(event, event.c.name == "contact.added")) == 1
